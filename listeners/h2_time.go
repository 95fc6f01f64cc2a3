package listeners

import (
	"errors"
	"time"
)

// Deadlines of an HTTP/2 connection. Each is absolute: no byte extends it.
//
//   - the preface must be complete within Timeouts.Message of the handshake;
//   - a frame or header block, within as much of its first byte;
//   - a request, within as much of its header; it gets 408 then;
//   - an answer must be taken within Timeouts.Write, and its stream is reset then;
//   - a connection without streams may be idle for as long as the accounts say.
//     Only requests make it busy: frames that ask for nothing do not.

// unfinished tells whether a frame or header block has begun and not ended.
func (c *h2Conn) unfinished() bool { return !c.in.empty() || c.block != nil }

// deadline is until when the next bytes must come.
func (c *h2Conn) deadline() time.Time {
	by := c.ownDeadline()
	for _, s := range c.streams {
		by = earlier(by, s.by)
	}
	return by
}

// ownDeadline is when the connection ends if nothing happens. That of streams is
// not in it.
func (c *h2Conn) ownDeadline() time.Time {
	s, by, busy := c.server, c.idleBy, false
	switch {
	case c.stage == h2AwaitsPreface:
	case c.unfinished():
		by, busy = earlier(c.frameBy, c.idleBy.Add(s.timeouts().Message)), true
	case len(c.streams) > 0:
		by, busy = c.streams[len(c.streams)-1].by.Add(s.timeouts().Message), true // the streams' own come first
	}
	switch {
	case !s.draining.Load():
		return by
	case busy:
		return earlier(by, s.endBy)
	case c.goodbye && s.lookUntil.Before(c.lookUntil): // its handshake was under way
		return earlier(earlier(by, c.lookUntil), s.endBy)
	case c.goodbye:
		return earlier(by, s.lookUntil)
	default:
		return c.received // at once, for the GOAWAY
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// arm makes a read end at the deadline or earlier, also when the server begins
// to stop in this moment. A deadline that is armed and earlier stays: setting one
// takes 0.1 µs, and waking up for nothing happens once for each pause. Under TLS
// a read may have to write, a key update for one: the deadline is for both.
func (c *h2Conn) arm() {
	for {
		draining, by := c.server.draining.Load(), c.deadline()
		if c.armed.IsZero() || by.Before(c.armed) {
			_ = c.raw.SetDeadline(by)
			c.armed = by
		}
		if draining == c.server.draining.Load() {
			return
		}
		c.armed = time.Time{}
	}
}

// writeSlack is the part of Timeouts.Write by which a write's deadline may be
// late, so that it has to be set a few times a second and not for every write.
const writeSlack = 16

// armWrite gives a write Timeouts.Write, or a little more.
func (c *h2Conn) armWrite() {
	now, write := time.Now(), c.server.timeouts().Write
	if least := now.Add(write); c.armed.Before(least) || c.armed.Sub(least) > write/writeSlack {
		c.armed = least.Add(write / writeSlack)
		_ = c.raw.SetDeadline(c.armed)
	}
}

var errIdle = errors.New("nothing was asked in time")

// overdue ends what has taken too long at c.received: requests, answers that
// are not taken, and, by an error, the connection.
func (c *h2Conn) overdue() error {
	if err := c.expire(); err != nil {
		return err
	}
	s := c.server
	if c.ending && len(c.streams) == 0 {
		return errSpent
	}
	if s.draining.Load() {
		c.sayGoodbye()
	}
	if c.received.Before(c.ownDeadline()) {
		return nil
	}
	if s.draining.Load() {
		return errDrained
	}
	return errIdle
}

// expire ends the streams whose time is over.
func (c *h2Conn) expire() error {
	for i := 0; i < len(c.streams); {
		s := c.streams[i]
		if c.received.Before(s.by) {
			i++
			continue
		}
		if s.waits() { // for the client to take its answer
			c.reset(s, h2Cancel)
			continue
		}
		if err := c.refuse(s, errSlow); err != nil {
			return err
		}
		if i < len(c.streams) && c.streams[i] == s {
			i++ // what was refused waits as well
		}
	}
	return nil
}

// sayGoodbye announces that the server stops. Streams that are on their way are
// served: it promises nothing about their numbers yet (RFC 9113 §6.8).
func (c *h2Conn) sayGoodbye() {
	if c.goodbye || c.stage == h2AwaitsPreface {
		c.goodbye = true
		return
	}
	c.goodbye = true
	c.work.out = appendH2GoAway(c.work.out, h2MaxStreamID, h2NoError)
}
