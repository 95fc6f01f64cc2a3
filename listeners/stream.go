package listeners

import (
	"crypto/tls"
	"errors"
	"io"
	"net/netip"
	"os"
	"sync/atomic"
	"time"
)

// lingering bounds how long a connection that we end first is listened to,
// so that what its client still sends does not reset it under our answers.
const lingering = time.Second

// stream is one connection. Its goroutine alone touches it, but for raw's read
// deadline and its end, which are the server's too.
type stream struct {
	server  *streams
	raw     *socket
	secure  *secured // nil: plain TCP
	client  netip.AddrPort
	account Connection
	over    time.Time // when it has lived for as long as it may; zero: never
	in      inbox
	turn    turn

	received  time.Time // when the latest bytes came
	idleBy    time.Time // when nothing has arrived of a next message
	messageBy time.Time // when the message that has begun must be complete
	armed     time.Time // the read deadline, unless the server stops; zero: not known
	unsure    bool      // the read has gone on, and the connection's end may have come unseen
	inside    bool      // the next bytes are behind a part of a message
	glanceBy  time.Time // until when a server that stops looks for the last time; zero: not yet known
	stuck     bool      // the client does not take what we write
	ended     error     // why the connection is over; nil: it is not

	// shaking tells that the handshake is not done. One that is under way when the
	// server stops may be finished: its client can't tell a handshake that is broken
	// off from a query that is lost.
	shaking atomic.Bool
}

// secured is what a stream has for TLS.
type secured struct {
	records
	tls  *tls.Conn // over records
	more bool      // it may have more of a record than was read
}

// ready tells whether there is something to read from tls without waiting.
func (s *secured) ready() bool { return s.more || s.record() > 0 }

var (
	errDrained = errors.New("server stops")
	errSpent   = errors.New("connection has had what it may") // queries, or time
)

// run serves the connection to its end.
func (c *stream) run() {
	defer c.server.finish(c)
	defer c.faulted()
	now := time.Now()
	c.idleBy, c.messageBy = now.Add(c.left(c.server.idle(), now)), now.Add(c.server.timeouts().Message)
	c.armed = time.Time{}
	c.turn.waits = c.raw.calls.counted()
	if c.raw.calls != nil {
		c.raw.calls.onward = c.onward
	}
	if c.server.draining.Load() {
		c.glanceBy = now.Add(lastLook) // it is new, and its first query on the way
	}
	err := c.serve()
	switch err {
	case errDenied:
		c.server.cfg.dismissals.note(c.server.transport, c.client)
		c.linger()
	case errSilent, errDrained, errSpent:
		c.linger()
	}
}

// faulted is for a deferred call. It ends the connection after a panic, which is
// no reason to write anything more to it.
func (c *stream) faulted() {
	if cause := recover(); cause != nil {
		c.server.cfg.faults.note(cause, c.server.transport.String(), c.client)
		c.stuck = true
		_ = c.raw.Close()
	}
}

// greet prepares TLS and looks at what the client has sent so far. It tells
// whether the client may go on.
func (c *stream) greet(at *doorstep) bool {
	c.secure = &secured{records: records{socket: c.raw, wait: true}}
	return c.secure.greet(at, c.server.accounts, c.client.Addr())
}

// handshake puts TLS in front of the connection.
func (c *stream) handshake() (done bool) {
	defer c.faulted()
	s := c.secure
	defer s.passing.end()
	c.idleBy = time.Now().Add(c.server.timeouts().Handshake)
	c.messageBy, c.raw.writeBy = c.idleBy, c.idleBy // also when its hello is there
	c.arm()
	err := s.admit(c.server.accounts, c.client.Addr())
	if err == nil {
		s.passing.begin(newPassage(c.server.cfg, c.server.transport, &s.records, c.client.Addr(), c.idleBy))
		s.tls = c.server.secure(&s.records)
		if err = s.tls.Handshake(); err == nil {
			s.passing.succeed(s.tls)
		} else {
			s.passing.end()
		}
	}
	if err != nil {
		c.server.log.Debug("TLS handshake failed",
			"transport", c.server.transport.String(), "client", c.client.String(), "error", err)
	}
	s.wait = false
	c.shaking.Store(false)
	c.raw.fresh()
	c.raw.writeBy = time.Time{} // also when no write had to wait
	return err == nil
}

// fill receives once, within the deadline that holds. When c has ended, what it
// returns does not matter.
func (c *stream) fill() error {
	for {
		c.turn.pass()
		c.unsure, c.inside = false, c.begun()
		c.arm()
		n, err := c.receive()
		if err == errAnswered {
			if c.ended != nil {
				return c.ended
			}
			continue
		}
		now := time.Now()
		c.tookTurn(now)
		if n == 0 && isTimeout(err) && c.takesLast(now) {
			n, err = c.receiveLast()
		}
		if n > 0 {
			c.came(now)
			return err
		}
		if err == nil || isTimeout(err) && now.Before(c.deadline()) {
			c.armed = time.Time{}
			continue // the deadline was an earlier one
		}
		if isTimeout(err) && c.server.draining.Load() {
			if c.glances(now) {
				continue
			}
			return errDrained
		}
		return err
	}
}

// came notes that bytes have come at now.
func (c *stream) came(now time.Time) {
	if !c.inside {
		c.messageBy = now.Add(c.server.timeouts().Message)
	}
	c.received, c.glanceBy = now, time.Time{}
}

// begun tells whether a part of a message has arrived, or of a TLS record.
func (c *stream) begun() bool {
	return !c.in.empty() || c.secure != nil && !c.secure.box.empty()
}

// receive reads once from the client. It returns how many bytes came.
func (c *stream) receive() (n int, err error) {
	if err := c.in.prepare(); err != nil {
		return 0, err
	}
	s := c.secure
	if s == nil {
		return c.raw.receive(&c.in)
	}
	if !s.ready() {
		c.in.vacate() // it gets nothing before a record is complete
		if n, err = s.receive(); err != nil {
			return n, err
		}
	}
	m, err := c.decrypt()
	return n + m, err
}

// receiveLast is receive for what has arrived in spite of the deadline. When nothing
// has, or that can't be told, its error is that of the deadline.
func (c *stream) receiveLast() (n int, err error) {
	c.raw.late = true
	defer func() { c.raw.late = false }()
	if n, err = c.receive(); n == 0 && err == nil {
		err = os.ErrDeadlineExceeded
	}
	return n, err
}

// decrypt takes what all the complete records say that have arrived, or as much
// as fits. It returns how many bytes that is.
func (c *stream) decrypt() (total int, err error) {
	for s := c.secure; s.ready(); {
		if len(c.in.space()) == 0 {
			if err := c.in.prepare(); err != nil {
				return total, err
			}
		}
		space := c.in.space()
		if len(space) == 0 {
			break // there is a message to answer first
		}
		n, err := s.tls.Read(space)
		s.more = n == len(space)
		c.in.took(n)
		total += n
		if err != nil && !isTimeout(err) { // which is what a record without data comes to
			return total, err
		}
	}
	return total, nil
}

// evict cuts the connection off, to make room for another one.
func (c *stream) evict() {
	c.raw.passing.bar()
	_ = c.raw.Close()
}

// close ends the connection. Under TLS that says so to the client, unless it
// takes nothing any more: crypto/tls would wait five more seconds for it.
func (c *stream) close() {
	c.in.release()
	if c.secure != nil {
		c.secure.release()
		if !c.stuck && c.secure.tls != nil {
			c.raw.last()
			_ = c.secure.tls.Close()
		}
	}
	_ = c.raw.Close()
}

// linger ends our side, and reads what the client still sends until it ends its
// own: closing at once would reset the connection, and with it answers that the
// client has not read yet (RFC 9293 §3.10.4, RFC 1122 §4.2.2.13).
func (c *stream) linger() {
	by := time.Now().Add(min(lingering, c.server.timeouts().Shutdown))
	_ = c.raw.SetDeadline(by)
	c.raw.writeBy = by
	if c.secure != nil {
		c.raw.last()
		_ = c.secure.tls.CloseWrite()
	}
	if half, ok := c.raw.Conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, c.raw)
	}
}
