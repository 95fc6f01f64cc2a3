package listeners

import "time"

// deadline is until when the next bytes must come. The time of a message runs
// from its first byte, and no byte extends it.
func (c *stream) deadline() time.Time {
	s, by := c.server, c.idleBy
	if c.begun() {
		by = c.messageBy
	}
	if !s.draining.Load() {
		return by
	}
	end := s.lookUntil
	switch {
	case c.begun() || c.shaking.Load():
		end = s.endBy
	case !c.glanceBy.IsZero():
		end = c.glanceBy
	case !c.received.Before(s.drainedAt) && c.received.Add(quiet).Before(end):
		end = c.received.Add(quiet)
	}
	if end.Before(by) {
		return end
	}
	return by
}

// glances tells whether the connection is to be looked at once more before a
// server that stops ends it, and arms that look. Those that always have something
// to say end all the same.
func (c *stream) glances(now time.Time) bool {
	if c.begun() || !c.glanceBy.IsZero() || now.After(c.server.lookUntil.Add(lastLook)) {
		return false
	}
	c.glanceBy = now.Add(secondLook)
	return true
}

// takesLast tells whether the connection is about to be ended between two queries
// because the server stops, so that what has arrived by now is to be taken all the
// same: a read whose deadline has passed does not look, and on a machine that is busy
// it comes back late.
func (c *stream) takesLast(now time.Time) bool {
	return c.server.draining.Load() && !c.begun() && !c.glanceBy.IsZero() &&
		!now.Before(c.deadline()) && now.Before(c.server.lookUntil.Add(lastLook))
}

// arm makes reads end at the deadline, or before: then fill arms anew. It sets
// the deadline only when it has come nearer, which it has not behind a query
// that came whole. It takes care of a server that begins to stop in this moment.
func (c *stream) arm() {
	for {
		draining, by := c.server.draining.Load(), c.deadline()
		if look := c.received.Add(unsureTime); c.unsure && look.Before(by) {
			by = look
		}
		if draining || c.armed.IsZero() || by.Before(c.armed) {
			_ = c.raw.SetReadDeadline(by)
			c.armed = by
		}
		if draining == c.server.draining.Load() {
			return
		}
	}
}

// left is what is left at now of an idle time, when the connection may have less
// time to live.
func (c *stream) left(idle time.Duration, now time.Time) time.Duration {
	if c.over.IsZero() {
		return idle
	}
	return min(idle, max(0, c.over.Sub(now)))
}
