package listeners

import "encoding/binary"

// Types of frames (RFC 9113 §6).
const (
	h2Data uint8 = iota
	h2Headers
	h2Priority
	h2ResetStream
	h2Settings
	h2PushPromise
	h2Ping
	h2GoAway
	h2WindowUpdate
	h2Continuation
)

// Flags of frames.
const (
	h2EndStream   = 0x1
	h2Ack         = 0x1 // of SETTINGS and PING
	h2EndHeaders  = 0x4
	h2Padded      = 0x8
	h2HasPriority = 0x20
)

// Settings that mean something to us (RFC 9113 §6.5.2).
const (
	h2HeaderTableSize   = 0x1
	h2EnablePush        = 0x2
	h2MaxStreams        = 0x3
	h2InitialWindowSize = 0x4
	h2MaxFrameSize      = 0x5
	h2MaxHeaderListSize = 0x6
)

// Sizes that the protocol fixes.
const (
	h2FrameHeaderBytes = 9
	h2SettingBytes     = 6

	// h2MaxPayload is what a frame may carry unless SETTINGS_MAX_FRAME_SIZE says
	// more. We neither ask for more nor use it: what has to be sent is small.
	h2MaxPayload    = 16 << 10
	h2MaxPayloadAny = 1<<24 - 1 // the most that SETTINGS_MAX_FRAME_SIZE can say

	h2DefaultWindow = 1<<16 - 1 // RFC 9113 §6.9.2
	h2MaxWindow     = 1<<31 - 1 // RFC 9113 §6.9.1
	h2MaxStreamID   = 1<<31 - 1

	h2DefaultTable = 4096 // of HPACK (RFC 9113 §6.5.2)
)

// h2Preface is what a client says first (RFC 9113 §3.4).
const h2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// h2Code is an error code (RFC 9113 §7). As an error it ends the connection.
type h2Code uint32

// The codes that are used.
const (
	h2NoError          h2Code = 0x0
	h2ProtocolError    h2Code = 0x1
	h2InternalError    h2Code = 0x2
	h2FlowControlError h2Code = 0x3
	h2StreamClosed     h2Code = 0x5
	h2FrameSizeError   h2Code = 0x6
	h2RefusedStream    h2Code = 0x7
	h2Cancel           h2Code = 0x8
	h2CompressionError h2Code = 0x9
	h2EnhanceYourCalm  h2Code = 0xb
)

var h2CodeNames = map[h2Code]string{
	h2NoError: "NO_ERROR", h2ProtocolError: "PROTOCOL_ERROR", h2InternalError: "INTERNAL_ERROR",
	h2FlowControlError: "FLOW_CONTROL_ERROR", h2StreamClosed: "STREAM_CLOSED", h2FrameSizeError: "FRAME_SIZE_ERROR",
	h2RefusedStream: "REFUSED_STREAM", h2Cancel: "CANCEL", h2CompressionError: "COMPRESSION_ERROR",
	h2EnhanceYourCalm: "ENHANCE_YOUR_CALM",
}

// Error implements error.
func (c h2Code) Error() string { return "HTTP/2: " + h2CodeNames[c] }

// h2Frame is a frame that has arrived. The payload lies in the inbox.
type h2Frame struct {
	kind, flags uint8
	stream      uint32 // 0: the connection
	payload     []byte
}

// parseH2Frame takes the first frame off data. As long as it is incomplete, rest
// is data. A frame that is too long is an error as soon as its header is there.
func parseH2Frame(data []byte) (f h2Frame, rest []byte, err error) {
	if len(data) < h2FrameHeaderBytes {
		return f, data, nil
	}
	n := int(data[0])<<16 | int(data[1])<<8 | int(data[2])
	if n > h2MaxPayload {
		return f, data, h2FrameSizeError
	}
	end := h2FrameHeaderBytes + n
	if len(data) < end {
		return f, data, nil
	}
	return h2Frame{
		kind:    data[3],
		flags:   data[4],
		stream:  binary.BigEndian.Uint32(data[5:]) & h2MaxStreamID,
		payload: data[h2FrameHeaderBytes:end:end],
	}, data[end:], nil
}

// unpadded is the payload of a DATA or HEADERS frame without its padding
// (RFC 9113 §6.1).
func (f h2Frame) unpadded() ([]byte, error) {
	if f.flags&h2Padded == 0 {
		return f.payload, nil
	}
	if len(f.payload) == 0 {
		return nil, h2FrameSizeError
	}
	padding := int(f.payload[0])
	if padding >= len(f.payload) {
		return nil, h2ProtocolError
	}
	return f.payload[1 : len(f.payload)-padding], nil
}

// appendH2Header appends the header of a frame with n bytes of payload.
func appendH2Header(dst []byte, n int, kind, flags uint8, stream uint32) []byte {
	return append(dst, byte(n>>16), byte(n>>8), byte(n), kind, flags,
		byte(stream>>24), byte(stream>>16), byte(stream>>8), byte(stream))
}

func appendH2Reset(dst []byte, stream uint32, code h2Code) []byte {
	dst = appendH2Header(dst, 4, h2ResetStream, 0, stream)
	return binary.BigEndian.AppendUint32(dst, uint32(code))
}

func appendH2WindowUpdate(dst []byte, stream uint32, n int) []byte {
	dst = appendH2Header(dst, 4, h2WindowUpdate, 0, stream)
	return binary.BigEndian.AppendUint32(dst, uint32(n))
}

// appendH2GoAway appends a GOAWAY that promises nothing for streams above last.
func appendH2GoAway(dst []byte, last uint32, code h2Code) []byte {
	dst = appendH2Header(dst, 8, h2GoAway, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, last)
	return binary.BigEndian.AppendUint32(dst, uint32(code))
}

// h2Setting is one parameter of a SETTINGS frame.
type h2Setting struct {
	id    uint16
	value uint32
}

func appendH2Settings(dst []byte, settings ...h2Setting) []byte {
	dst = appendH2Header(dst, len(settings)*h2SettingBytes, h2Settings, 0, 0)
	for _, s := range settings {
		dst = binary.BigEndian.AppendUint16(dst, s.id)
		dst = binary.BigEndian.AppendUint32(dst, s.value)
	}
	return dst
}
