package listeners

// takeData takes a part of a request's body. What is over is given back to the
// client's window at once, and the rest when the request has been answered.
func (c *h2Conn) takeData(f h2Frame) error {
	data, err := f.unpadded()
	switch {
	case c.idle(f.stream):
		return h2ProtocolError
	case err != nil:
		return err
	case len(f.payload) > c.window:
		return h2FlowControlError
	}
	end := f.flags&h2EndStream != 0
	if !end && len(data) < h2TinyBytes {
		if err := c.tire(1); err != nil {
			return err
		}
	}
	c.window -= len(f.payload)
	s := c.find(f.stream)
	if s == nil || s.ended || s.waits() {
		return c.lateData(f, s)
	}
	return c.takeBody(s, data, len(f.payload), end)
}

// lateData is what arrives for a stream that takes nothing any more.
func (c *h2Conn) lateData(f h2Frame, s *h2Stream) error {
	c.giveBack(len(f.payload))
	switch {
	case f.stream > c.lastID, c.muted.has(f.stream):
		return nil // it was on its way when we ended the connection, or reset the stream
	case s != nil && !s.ended: // it was refused before it was whole
		s.ended = f.flags&h2EndStream != 0
		return nil
	case s != nil:
		c.reset(s, h2StreamClosed)
	default:
		c.resetID(f.stream, h2StreamClosed)
	}
	return c.tire(1)
}

// takeBody adds data to the body of a request, and answers it when it is whole.
// A body that comes in one piece is not copied.
func (c *h2Conn) takeBody(s *h2Stream, data []byte, bytesOnWire int, end bool) error {
	s.receive -= bytesOnWire
	s.got += len(data)
	padding := bytesOnWire - len(data)
	switch {
	case s.receive < 0:
		c.giveBack(bytesOnWire)
		return c.fault(s, h2FlowControlError)
	case s.length >= 0 && (s.got > s.length || end && s.got != s.length):
		c.giveBack(bytesOnWire)
		return c.fault(s, h2ProtocolError) // RFC 9113 §8.1.1
	case s.request != nil:
		c.giveBack(bytesOnWire)
		if s.ended = end; end || s.got > maxMessageBytes {
			return c.serveHTTP(s)
		}
		return nil
	case s.got > maxMessageBytes:
		c.giveBack(bytesOnWire)
		s.ended = end
		return c.refuse(s, errTooLarge)
	case end && s.body == nil:
		c.giveBack(bytesOnWire)
		s.ended = true
		return c.answer(s, data)
	case !end && padding > 0: // the stream's window fits a message, but not its padding
		s.receive += padding
		c.work.out = appendH2WindowUpdate(c.work.out, s.id, padding)
	}
	c.giveBack(padding)
	if !c.hold(len(data)) {
		c.giveBack(len(data))
		s.ended = end
		return c.refuse(s, errOverload)
	}
	s.held += len(data)
	s.body = append(s.body, data...)
	if !end {
		return nil
	}
	s.ended = true
	return c.answer(s, s.body)
}

// giveBack notes that n bytes of the client's window for the connection may be
// used again, and tells the client when it is half of it.
func (c *h2Conn) giveBack(n int) {
	c.owed += n
	if c.owed >= h2ConnWindow/2 {
		c.work.out = appendH2WindowUpdate(c.work.out, 0, c.owed)
		c.window += c.owed
		c.owed = 0
	}
}

// h2Muted remembers streams that we reset lately: what is still on its way for
// them is no error (RFC 9113 §5.1). Older ones get another reset.
type h2Muted struct {
	ids  [8]uint32
	next uint8
}

func (m *h2Muted) add(id uint32) {
	m.ids[m.next%uint8(len(m.ids))] = id
	m.next++
}

func (m *h2Muted) has(id uint32) bool {
	for _, known := range m.ids {
		if known == id {
			return true
		}
	}
	return false
}
