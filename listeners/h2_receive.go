package listeners

import "encoding/binary"

// Frames that ask for nothing (PING, SETTINGS, WINDOW_UPDATE, PRIORITY, resets,
// empty or tiny DATA, what we do not know) cost a connection patience, and so
// does opening a stream; each request that is complete gives some back. Clients
// send one to four such frames a request (net/http's PING and WINDOW_UPDATE,
// nghttp2's, Chromium's); a flood uses up its patience within a millisecond and
// gets ENHANCE_YOUR_CALM (RFC 9113 §10.5).
const (
	h2Patience  = 1000
	h2PatienceA = 20 // for a request

	// h2TinyBytes is the least that a DATA frame carries which is not the last
	// one and costs no patience: a query of RFC 8467's block fits it.
	h2TinyBytes = 128
)

// tire takes n from the connection's patience.
func (c *h2Conn) tire(n int) error {
	c.patience -= n
	if c.patience < 0 {
		return h2EnhanceYourCalm
	}
	return nil
}

// take does what a frame asks for. An h2Code that it returns ends the connection.
func (c *h2Conn) take(f h2Frame) error {
	switch {
	case c.stage == h2AwaitsSettings:
		if f.kind != h2Settings || f.flags&h2Ack != 0 {
			return h2ProtocolError // RFC 9113 §3.4
		}
		c.stage = h2Runs
	case c.block != nil && (f.kind != h2Continuation || f.stream != c.block.stream):
		return h2ProtocolError // RFC 9113 §6.10
	}
	switch f.kind {
	case h2Headers:
		return c.takeHeaders(f)
	case h2Data:
		return c.takeData(f)
	case h2Continuation:
		return c.takeContinuation(f)
	}
	if err := c.tire(1); err != nil {
		return err
	}
	switch f.kind {
	case h2Priority:
		return c.takePriority(f)
	case h2ResetStream:
		return c.takeReset(f)
	case h2Settings:
		return c.takeSettings(f)
	case h2PushPromise:
		return h2ProtocolError // clients do not push (RFC 9113 §8.4)
	case h2Ping:
		return c.takePing(f)
	case h2GoAway:
		return c.takeGoAway(f)
	case h2WindowUpdate:
		return c.takeWindowUpdate(f)
	}
	return nil // RFC 9113 §5.5
}

func (c *h2Conn) takePing(f h2Frame) error {
	switch {
	case f.stream != 0:
		return h2ProtocolError
	case len(f.payload) != 8:
		return h2FrameSizeError
	case f.flags&h2Ack == 0:
		c.work.out = append(appendH2Header(c.work.out, 8, h2Ping, h2Ack, 0), f.payload...)
	}
	return nil
}

// takeGoAway: a client that leaves is done when its streams are.
func (c *h2Conn) takeGoAway(f h2Frame) error {
	switch {
	case f.stream != 0:
		return h2ProtocolError
	case len(f.payload) < 8:
		return h2FrameSizeError
	}
	c.ending = true
	return nil
}

// takePriority checks what RFC 9113 §5.3.2 has deprecated, and forgets it: answers
// leave as soon as they are there.
func (c *h2Conn) takePriority(f h2Frame) error {
	switch {
	case f.stream == 0:
		return h2ProtocolError
	case len(f.payload) != 5:
		return c.fail(f.stream, h2FrameSizeError)
	case dependsOnItself(f.stream, f.payload):
		return c.fail(f.stream, h2ProtocolError)
	}
	return nil
}

// dependsOnItself tells whether a stream's priority is an error (RFC 7540 §5.3.1).
func dependsOnItself(stream uint32, priority []byte) bool {
	return binary.BigEndian.Uint32(priority)&h2MaxStreamID == stream
}

func (c *h2Conn) takeReset(f h2Frame) error {
	switch {
	case len(f.payload) != 4:
		return h2FrameSizeError
	case c.idle(f.stream):
		return h2ProtocolError
	}
	s := c.find(f.stream)
	if s == nil {
		return nil
	}
	lost := !s.waits()
	c.remove(s)
	if !lost {
		return nil
	}
	return c.charge()
}

func (c *h2Conn) takeSettings(f h2Frame) error {
	switch {
	case f.stream != 0:
		return h2ProtocolError
	case f.flags&h2Ack != 0:
		if len(f.payload) != 0 {
			return h2FrameSizeError
		}
		return nil
	case len(f.payload)%h2SettingBytes != 0:
		return h2FrameSizeError
	}
	// A frame can repeat 2,700 settings.
	if err := c.tire(len(f.payload) / (16 * h2SettingBytes)); err != nil {
		return err
	}
	for p := f.payload; len(p) > 0; p = p[h2SettingBytes:] {
		if err := c.takeSetting(h2Setting{binary.BigEndian.Uint16(p), binary.BigEndian.Uint32(p[2:])}); err != nil {
			return err
		}
	}
	c.work.out = appendH2Header(c.work.out, 0, h2Settings, h2Ack, 0)
	return c.resumeAll()
}

func (c *h2Conn) takeSetting(s h2Setting) error {
	switch s.id {
	case h2HeaderTableSize:
		// Ours has to shrink to what the client has room for (RFC 7541 §4.2).
		// Below the default it is not used at all: nobody is known to ask for it.
		if s.value < h2DefaultTable {
			c.plain, c.shrink = true, true
		}
	case h2EnablePush:
		if s.value > 1 {
			return h2ProtocolError
		}
	case h2InitialWindowSize:
		if s.value > h2MaxWindow {
			return h2FlowControlError
		}
		by := int64(s.value) - c.sendInitial
		c.sendInitial = int64(s.value)
		for _, open := range c.streams { // RFC 9113 §6.9.2
			if open.window += by; open.window > h2MaxWindow {
				return h2FlowControlError
			}
		}
	case h2MaxFrameSize:
		if s.value < h2MaxPayload || s.value > h2MaxPayloadAny {
			return h2ProtocolError
		}
	}
	return nil
}

func (c *h2Conn) takeWindowUpdate(f h2Frame) error {
	if len(f.payload) != 4 {
		return h2FrameSizeError
	}
	by := int64(binary.BigEndian.Uint32(f.payload) & h2MaxWindow)
	if f.stream == 0 {
		if by == 0 {
			return h2ProtocolError
		}
		if c.sendWindow += by; c.sendWindow > h2MaxWindow {
			return h2FlowControlError
		}
		return c.resumeAll()
	}
	if c.idle(f.stream) {
		return h2ProtocolError
	}
	s := c.find(f.stream)
	switch {
	case s == nil: // it has had its answer
	case by == 0:
		return c.fault(s, h2ProtocolError)
	case s.window+by > h2MaxWindow:
		return c.fault(s, h2FlowControlError)
	default:
		s.window += by
		return c.resume(s)
	}
	return nil
}
