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
	if c.begun() || c.shaking.Load() {
		end = s.endBy
	}
	if end.Before(by) {
		return end
	}
	return by
}

// arm makes reads end at the deadline, or before: then fill arms anew. It sets
// the deadline only when it has come nearer, which it has not behind a query
// that came whole. It takes care of a server that begins to stop in this moment.
func (c *stream) arm() {
	for {
		draining, by := c.server.draining.Load(), c.deadline()
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
