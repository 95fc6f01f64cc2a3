package listeners

import (
	"bufio"
	"errors"
	"io"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"
)

// What a client sends beside its requests is read here and not by http3, which takes
// frames and streams that ask for nothing for as long as a client likes: hundreds of
// frames fit into a packet, and each costs as much as the packet. As over HTTP/2, they
// cost a connection patience, and so does a request that ends without an answer; each
// one that is answered gives some back. Clients send a dozen such frames and streams in
// the life of a connection.
const (
	h3Patience  = h2Patience
	h3PatienceA = h2PatienceA // for a request
)

// tire takes one from the connection's patience. Without any, the connection ends, and
// tire returns false.
func (c *h3Conn) tire() bool {
	if c.tired.Add(1) <= h3Patience {
		return true
	}
	c.violated(http3.ErrCodeExcessiveLoad, "too many frames and streams that ask for nothing")
	return false
}

// calm gives some patience back.
func (c *h3Conn) calm() {
	for {
		tired := c.tired.Load()
		if tired <= 0 || tired > h3Patience { // which is for good
			return
		}
		if c.tired.CompareAndSwap(tired, max(tired-h3PatienceA, 0)) {
			return
		}
	}
}

// violated closes the connection because of what the client did.
func (c *h3Conn) violated(code http3.ErrCode, reason string) {
	_ = c.conn.CloseWithError(quic.ApplicationErrorCode(code), reason)
}

// Types of unidirectional streams (RFC 9114 §6.2, RFC 9204 §4.2).
const (
	h3ControlStream = 0x0
	h3PushStream    = 0x1
	h3EncoderStream = 0x2
	h3DecoderStream = 0x3
)

// unidirectional implements quicConn. It reads for as long as the stream lives: quic-go
// keeps each STREAM frame that nobody reads in an entry of its own, and windows full of
// frames of a byte made 25 MB for a connection.
func (c *h3Conn) unidirectional(s *quic.ReceiveStream) {
	if !c.tire() {
		return
	}
	kind, err := c.kind(s)
	if err != nil {
		s.CancelRead(quic.StreamErrorCode(http3.ErrCodeStreamCreationError)) // nothing, if s has ended before its type: RFC 9114 §6.2
		return
	}
	switch kind {
	case h3ControlStream, h3EncoderStream, h3DecoderStream:
		if c.opened.Or(1<<kind)&(1<<kind) != 0 {
			c.violated(http3.ErrCodeStreamCreationError, "a second stream of its type")
			return
		}
		c.violated(readH3Critical(kind, bufio.NewReaderSize(s, h3ControlBytes), c.tire))
	case h3PushStream:
		c.violated(http3.ErrCodeStreamCreationError, "only servers push")
	default:
		s.CancelRead(quic.StreamErrorCode(http3.ErrCodeStreamCreationError))
	}
}

// kind reads the type of s, which has as long to come as a request.
func (c *h3Conn) kind(s *quic.ReceiveStream) (uint64, error) {
	_ = s.SetReadDeadline(time.Now().Add(c.handler.cfg.now().Timeouts.Message))
	// Byte by byte: a buffer would keep the deadline's error for what comes behind.
	kind, err := quicvarint.Read(quicvarint.NewReader(s))
	_ = s.SetReadDeadline(time.Time{})
	return kind, err
}

// readH3Critical reads a stream of one of the types that must not end until the
// connection is to end, and returns why. tire is called for each frame or instruction;
// when it returns false the connection has ended, and what is returned goes nowhere.
func readH3Critical(kind uint64, from *bufio.Reader, tire func() bool) (http3.ErrCode, string) {
	switch kind {
	case h3EncoderStream:
		return readQPACK(from, tire, encoderInstruction)
	case h3DecoderStream:
		return readQPACK(from, tire, decoderInstruction)
	}
	return readH3Control(from, tire)
}

// Frames of a control stream, and others that must not be there (RFC 9114 §7.2, §11.2.1,
// RFC 9218 §7.2).
const (
	h3CancelPush     = 0x3
	h3Settings       = 0x4
	h3PushPromise    = 0x5
	h3GoAway         = 0x7
	h3MaxPushID      = 0xd
	h3Priority       = 0xf0700
	h3PriorityOfPush = 0xf0701
)

const (
	// h3ControlBytes are read of a unidirectional stream at once: its type, SETTINGS
	// and a frame or two of a usual client.
	h3ControlBytes = 128

	// h3SettingsBytes is the longest SETTINGS frame that is taken. Clients send 30 bytes.
	h3SettingsBytes = 1 << 10
)

// readH3Control is readH3Critical for a control stream.
func readH3Control(from *bufio.Reader, tire func() bool) (http3.ErrCode, string) {
	r := h3Control{Reader: from, goAway: 1<<62 - 1}
	for first := true; ; first = false {
		kind, length, err := r.head()
		if err != nil {
			return http3.ErrCodeClosedCriticalStream, "end of the control stream"
		}
		if first != (kind == h3Settings) {
			if first {
				return http3.ErrCodeMissingSettings, "control stream that does not begin with SETTINGS"
			}
			return http3.ErrCodeFrameUnexpected, "SETTINGS twice"
		}
		if !tire() {
			return http3.ErrCodeExcessiveLoad, ""
		}
		if code, reason := r.frame(kind, length); reason != "" {
			return code, reason
		}
	}
}

// h3Control is what is known of a control stream.
type h3Control struct {
	*bufio.Reader
	goAway  uint64 // the push ID that the client last sent in GOAWAY
	maxPush uint64 // the highest push ID that it allows
}

func (r *h3Control) head() (kind, length uint64, err error) {
	if kind, err = quicvarint.Read(r); err == nil {
		length, err = quicvarint.Read(r)
	}
	return kind, length, err
}

// frame reads the payload of a frame. A reason that it returns ends the connection.
func (r *h3Control) frame(kind, length uint64) (http3.ErrCode, string) {
	switch kind {
	case h3Settings:
		return r.settings(length)
	case h3GoAway, h3MaxPushID, h3CancelPush:
		return r.push(kind, length)
	case h3Priority: // a hint that answers to DNS queries have no use for
		id, code, reason := r.id(&length)
		if reason == "" && id%4 != 0 {
			return http3.ErrCodeIDError, "PRIORITY_UPDATE for what is no request"
		}
		if reason != "" {
			return code, reason
		}
	case h3PriorityOfPush:
		return http3.ErrCodeIDError, "PRIORITY_UPDATE for a push that was never promised"
	case h3Data, h3Headers, h3PushPromise, 0x2, 0x6, 0x8, 0x9: // the last are HTTP/2's
		return http3.ErrCodeFrameUnexpected, "frame that has no place on a control stream"
	}
	if _, err := io.CopyN(io.Discard, r, int64(length)); err != nil {
		return http3.ErrCodeClosedCriticalStream, "end of the control stream"
	}
	return 0, ""
}

// push reads a frame that holds a push ID alone. There are no pushes, but the rules hold.
func (r *h3Control) push(kind, length uint64) (http3.ErrCode, string) {
	id, code, reason := r.id(&length)
	switch {
	case reason != "":
		return code, reason
	case length > 0:
		return http3.ErrCodeFrameError, "frame longer than the ID in it"
	case kind == h3CancelPush: // RFC 9114 §7.2.3
		return http3.ErrCodeIDError, "CANCEL_PUSH of what was never promised"
	case kind == h3GoAway && id > r.goAway: // §5.2
		return http3.ErrCodeIDError, "GOAWAY that takes back an earlier one"
	case kind == h3GoAway:
		r.goAway = id
	case id < r.maxPush: // §7.2.7
		return http3.ErrCodeIDError, "MAX_PUSH_ID below an earlier one"
	default:
		r.maxPush = id
	}
	return 0, ""
}

// id reads the number that a payload of length bytes begins with, and takes it off.
func (r *h3Control) id(length *uint64) (uint64, http3.ErrCode, string) {
	if *length == 0 {
		return 0, http3.ErrCodeFrameError, "frame without its ID"
	}
	first, err := r.Peek(1)
	if err != nil {
		return 0, http3.ErrCodeClosedCriticalStream, "end of the control stream"
	}
	bytes := uint64(1) << (first[0] >> 6) // RFC 9000 §16
	if bytes > *length {
		return 0, http3.ErrCodeFrameError, "frame that ends within its ID"
	}
	id, err := quicvarint.Read(r)
	if err != nil {
		return 0, http3.ErrCodeClosedCriticalStream, "end of the control stream"
	}
	*length -= bytes
	return id, 0, ""
}

// Settings whose value is a yes or no (RFC 9220 §5, RFC 9297 §5.1).
const (
	h3ExtendedConnect = 0x8
	h3Datagrams       = 0x33
)

var errH3Settings = errors.New("setting that must not be")

// settings reads the payload of SETTINGS. There is nothing in it that we need.
func (r *h3Control) settings(length uint64) (http3.ErrCode, string) {
	if length > h3SettingsBytes {
		return http3.ErrCodeExcessiveLoad, "SETTINGS that are too long"
	}
	payload := make([]byte, length)
	if _, err := io.ReadFull(r, payload); err != nil {
		return http3.ErrCodeClosedCriticalStream, "end of the control stream"
	}
	for len(payload) > 0 {
		var err error
		if payload, err = h3Setting(payload); err == errH3Settings {
			return http3.ErrCodeSettingsError, err.Error()
		} else if err != nil {
			return http3.ErrCodeFrameError, "SETTINGS that end within one"
		}
	}
	return 0, ""
}

// h3Setting takes a setting off payload.
func h3Setting(payload []byte) (rest []byte, err error) {
	id, n, err := quicvarint.Parse(payload)
	if err != nil {
		return nil, err
	}
	value, m, err := quicvarint.Parse(payload[n:])
	if err != nil {
		return nil, err
	}
	switch id {
	case 0x0, 0x2, 0x3, 0x4, 0x5: // HTTP/2's: RFC 9114 §7.2.4.1, §11.2.2
		return nil, errH3Settings
	case h3ExtendedConnect, h3Datagrams:
		if value > 1 {
			return nil, errH3Settings
		}
	}
	return payload[n+m:], nil
}
