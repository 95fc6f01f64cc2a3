package listeners

import "domainpark/query"

// answer resolves message and sends what comes out, and s is done with or waits
// for the client's window. The answer is written where it will be sent from:
// behind room for its header, which depends on it, and then moved up to that.
func (c *h2Conn) answer(s *h2Stream, message []byte) error {
	c.drop(s) // its body; nobody else writes there before the query has been resolved
	w := c.work
	more := c.touch()
	q := &w.query
	q.Message, q.Verdict, q.Idle = message, query.Pending, 0
	start := len(w.out)
	from := start + 2*h2FrameHeaderBytes + c.server.fields.most()
	w.out = grown(w.out, from)
	out := c.server.handler.resolver.Resolve(w.out[:from], q)
	n := len(out) - from
	if n <= 0 {
		w.out = out[:start]
		return c.finish(c.say(s, c.server.handler.unanswered(q)), more)
	}
	c.refusals.answered()
	w.out = c.appendMessageHeader(out[:start+h2FrameHeaderBytes], n, q.MaxAge)
	fits := !s.head && n <= h2MaxPayload && int64(n) <= min(c.sendWindow, s.window)
	flags := uint8(h2EndHeaders)
	if s.head {
		flags |= h2EndStream
	}
	header := len(w.out) - start - h2FrameHeaderBytes
	appendH2Header(out[:start], header, h2Headers, flags, s.id)
	switch {
	case s.head:
		c.sent(s)
	case fits:
		w.out = appendH2Header(w.out, n, h2Data, h2EndStream, s.id)
		w.out = append(w.out, out[from:from+n]...) // to the left, or where it is
		c.sendWindow -= int64(n)
		c.sent(s)
	default:
		return c.finish(c.send(s, append([]byte(nil), out[from:from+n]...)), more)
	}
	return c.finish(nil, more)
}

// grown returns b with room for n bytes in all.
func grown(b []byte, n int) []byte {
	if n <= cap(b) {
		return b
	}
	return append(make([]byte, 0, n+flushBytes), b...)
}

// touch notes a request, which makes the connection busy. It returns whether
// there may be another.
func (c *h2Conn) touch() (more bool) {
	c.patience = min(c.patience+h2PatienceA, h2Patience)
	c.idleBy = c.received.Add(c.server.accounts.Idle())
	return c.account.Touch(c.received)
}

// finish ends the connection after an answer when there may be no other, or when
// too many were refused: what has not been answered yet, the client repeats elsewhere.
func (c *h2Conn) finish(err error, more bool) error {
	if err != nil || more && !c.refusals.over() || c.ending {
		return err
	}
	c.ending = true
	for i := len(c.streams) - 1; i >= 0; i-- {
		if s := c.streams[i]; !s.waits() {
			c.reset(s, h2RefusedStream)
		}
	}
	c.work.out = appendH2GoAway(c.work.out, c.lastID, h2NoError)
	return nil
}

// send sends a body, as much of it as the client's windows let through; the rest
// waits in s, which keeps the slice.
func (c *h2Conn) send(s *h2Stream, body []byte) error {
	for {
		n := int(min(int64(len(body)), h2MaxPayload, max(0, c.sendWindow), max(0, s.window)))
		last := n == len(body)
		if n == 0 && !last {
			return c.wait(s, body)
		}
		var flags uint8
		if last {
			flags = h2EndStream
		}
		c.work.out = append(appendH2Header(c.work.out, n, h2Data, flags, s.id), body[:n]...)
		c.sendWindow -= int64(n)
		s.window -= int64(n)
		body = body[n:]
		if last {
			c.sent(s)
			return nil
		}
		if len(c.work.out) >= flushBytes {
			if err := c.flush(); err != nil {
				return err
			}
		}
	}
}

// wait keeps the rest of an answer until the client makes room, if it does so in
// time. When a connection holds too much already, the stream is reset.
func (c *h2Conn) wait(s *h2Stream, rest []byte) error {
	if s.waits() {
		c.unhold(s.held - len(rest))
		s.held, s.rest = len(rest), rest
		return nil
	}
	if !c.hold(len(rest)) {
		c.reset(s, h2EnhanceYourCalm)
		return nil
	}
	s.held, s.rest = len(rest), rest
	if c.find(s.id) == nil {
		c.streams = append(c.streams, s)
	}
	s.by = c.received.Add(c.server.timeouts().Write)
	return nil
}

// resume goes on with an answer that waits.
func (c *h2Conn) resume(s *h2Stream) error {
	if !s.waits() || c.sendWindow <= 0 || s.window <= 0 {
		return nil
	}
	return c.send(s, s.rest)
}

// resumeAll goes on with every answer that waits.
func (c *h2Conn) resumeAll() error {
	for i := 0; i < len(c.streams) && c.sendWindow > 0; {
		s := c.streams[i]
		if err := c.resume(s); err != nil {
			return err
		}
		if i < len(c.streams) && c.streams[i] == s {
			i++
		}
	}
	return nil
}

// sent is done with s. A client that is still sending is told that it need not
// (RFC 9113 §8.1).
func (c *h2Conn) sent(s *h2Stream) {
	if !s.ended {
		c.resetID(s.id, h2NoError)
	}
	c.remove(s)
}
