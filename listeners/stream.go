package listeners

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"domainpark/query"
)

const (
	// flushBytes is when answers leave although more are to come: they and one
	// more still fit a TLS record, which holds 16 KiB (RFC 8446 §5.1).
	flushBytes = 16<<10 - 1280

	// keptOutBytes is the largest buffer of answers that is kept for the next
	// connection that has some.
	keptOutBytes = 32 << 10

	// lingering bounds how long a connection that we end first is listened to,
	// so that what its client still sends does not reset it under our answers.
	lingering = time.Second
)

// stream is one connection. Its goroutine alone touches it, but for raw's read
// deadline and its end, which are the server's too.
type stream struct {
	server  *streams
	raw     net.Conn
	conn    net.Conn // raw, or TLS over it
	client  netip.AddrPort
	number  int
	account Connection
	in      inbox

	received  time.Time // when the latest bytes came
	stuck     bool      // the client does not take what we write
	idleBy    time.Time // when nothing has arrived of a next message
	messageBy time.Time // when the message that has begun must be complete
}

// scratch is what a stream needs only while it answers.
type scratch struct {
	query query.Query
	out   []byte
}

var scratches = sync.Pool{New: func() any { return &scratch{out: make([]byte, 0, 16<<10)} }}

var (
	errDrained = errors.New("server stops")
	errSpent   = errors.New("connection has had what it may") // queries, or time
)

// run serves the connection to its end.
func (c *stream) run() {
	defer c.server.finish(c)
	c.idleBy = time.Now().Add(c.server.idle())
	err := c.serve()
	if err == errShort || err == errSilent || err == errDrained || err == errSpent {
		c.linger()
	}
}

// runTLS puts TLS in front of the connection and serves it. A handshake makes
// its goroutine's stack grow to 8 KiB; a new goroutine has it small again.
func (c *stream) runTLS() {
	if !c.handshake() {
		c.server.finish(c)
		return
	}
	c.server.running.Go(c.run)
}

func (c *stream) handshake() bool {
	t := c.server.secure(c.raw)
	c.conn = t
	c.idleBy = time.Now().Add(c.server.timeouts().Handshake)
	c.arm()
	err := t.Handshake()
	if err != nil {
		c.server.log.Debug("TLS handshake failed",
			"transport", c.server.transport.String(), "client", c.client.String(), "error", err)
	}
	return err == nil
}

// serve reads and answers until the client ends, a deadline passes or what
// arrives is no DNS. It returns why.
func (c *stream) serve() error {
	for {
		ended := c.fill()
		if err := c.answer(); err != nil {
			return err
		}
		if ended != nil {
			return ended // after the answers: a client may close its side first
		}
	}
}

// fill reads once, within the deadline that holds.
func (c *stream) fill() error {
	for {
		c.arm()
		n, err := c.conn.Read(c.in.space())
		now := time.Now()
		if n > 0 {
			if c.in.empty() {
				c.messageBy = now.Add(c.server.timeouts().Message)
			}
			c.in.took(n)
			c.received = now
			return err
		}
		if err == nil || isTimeout(err) && now.Before(c.deadline()) {
			continue // the deadline was an earlier one
		}
		if isTimeout(err) && c.server.draining.Load() {
			return errDrained
		}
		return err
	}
}

// deadline is until when the next bytes must come. The time of a message runs
// from its first byte, and no byte extends it.
func (c *stream) deadline() time.Time {
	s, by := c.server, c.idleBy
	if !c.in.empty() {
		by = c.messageBy
	}
	if !s.draining.Load() {
		return by
	}
	end := s.lookUntil
	if !c.in.empty() {
		end = s.endBy
	}
	if end.Before(by) {
		return end
	}
	return by
}

// arm makes reads end at the deadline, also when the server begins to stop in
// this moment. Under TLS a read may have to write, a key update for one.
func (c *stream) arm() {
	for {
		draining, by := c.server.draining.Load(), c.deadline()
		if c.server.secure != nil {
			_ = c.raw.SetDeadline(by)
		} else {
			_ = c.raw.SetReadDeadline(by)
		}
		if draining == c.server.draining.Load() {
			return
		}
	}
}

// answer answers every message that is complete, all in one write if they fit.
func (c *stream) answer() error {
	message, err := c.in.next()
	if message != nil {
		err = c.answerFrom(message)
		c.idleBy = time.Now().Add(c.server.idle())
		c.messageBy = c.received.Add(c.server.timeouts().Message) // of one that has begun behind them
	}
	c.in.settle()
	return err
}

// answerFrom answers message and the complete ones behind it. What is answered
// before an error is sent all the same.
func (c *stream) answerFrom(message []byte) error {
	s := scratches.Get().(*scratch)
	defer s.release()
	out, q := s.out, &s.query
	q.Client, q.Transport, q.Worker = c.client, c.server.transport, c.number
	q.Received, q.Idle = c.received, c.server.keepalive()
	var err error
	for message != nil && err == nil {
		q.Message = message
		more := c.account.Touch(c.received)
		if !more {
			q.Idle = 0
		}
		if out, err = appendFrame(out, c.server.resolver, q); err != nil {
			break
		}
		if len(out) >= flushBytes {
			if err := c.write(out); err != nil {
				return err
			}
			out = out[:0]
		}
		if !more {
			err = errSpent
			break
		}
		message, err = c.in.next()
	}
	if cap(out) <= keptOutBytes {
		s.out = out[:0]
	}
	if len(out) > 0 {
		if failed := c.write(out); failed != nil {
			return failed
		}
	}
	return err
}

// release gives s back, and lets go of the message.
func (s *scratch) release() {
	s.query.Message = nil
	scratches.Put(s)
}

// write sends answers. The client must take all of them within one timeout.
func (c *stream) write(answers []byte) error {
	_ = c.raw.SetWriteDeadline(time.Now().Add(c.server.timeouts().Write))
	_, err := c.conn.Write(answers)
	c.stuck = err != nil
	return err
}

// evict cuts the connection off, to make room for another one.
func (c *stream) evict() { _ = c.raw.Close() }

// close ends the connection. Under TLS that says so to the client, unless it
// takes nothing any more: crypto/tls would wait five more seconds for it.
func (c *stream) close() {
	c.in.release()
	if c.stuck {
		_ = c.raw.Close()
		return
	}
	_ = c.conn.Close()
}

// linger ends our side, and reads what the client still sends until it ends its
// own: closing at once would reset the connection, and with it answers that the
// client has not read yet (RFC 9293 §3.10.4, RFC 1122 §4.2.2.13).
func (c *stream) linger() {
	by := time.Now().Add(min(lingering, c.server.timeouts().Shutdown))
	_ = c.raw.SetDeadline(by)
	if t, ok := c.conn.(*tls.Conn); ok {
		_ = t.CloseWrite()
	}
	if half, ok := c.raw.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, c.raw)
	}
}
