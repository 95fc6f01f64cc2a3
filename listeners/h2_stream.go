package listeners

import (
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Windows that we give to clients (RFC 9113 §5.2). The largest body fits a
// stream, and twice that a connection: ordinary queries are a thousandth of it.
const (
	h2StreamWindow = maxMessageBytes + 1
	h2ConnWindow   = 2 * (maxMessageBytes + 1)
)

// h2Stream is a request whose body is arriving, or an answer that waits for the
// client's window. Streams that are answered at once are in no list.
type h2Stream struct {
	id      uint32
	ended   bool // the client has sent all of it
	head    bool // it asked for the header alone
	length  int  // of the body as announced; -1: unknown
	got     int  // of the body
	window  int64
	receive int       // what the client may send
	by      time.Time // when the body must be complete, or the answer be taken
	body    []byte
	request *http.Request // whose body means nothing; nil: a DNS query
	rest    []byte        // of the answer; nil: it has none, or not begun
	held    int           // bytes of body or rest that the connection holds
}

var h2Streams = sync.Pool{New: func() any { return new(h2Stream) }}

// waits tells whether the client has to make room for the answer.
func (s *h2Stream) waits() bool { return s.rest != nil }

// newStream makes a stream that is not in the list yet.
func (c *h2Conn) newStream(id uint32, ended bool) *h2Stream {
	s := h2Streams.Get().(*h2Stream)
	*s = h2Stream{id: id, ended: ended, length: -1, window: c.sendInitial, receive: h2StreamWindow}
	return s
}

// keep puts s into the list, where it has to be done by its time.
func (c *h2Conn) keep(s *h2Stream, within time.Duration) {
	s.by = c.received.Add(within)
	c.streams = append(c.streams, s)
}

// find returns the stream with this number, or nil. Clients send bodies in the
// order of their headers, so it is the first one or not far behind.
func (c *h2Conn) find(id uint32) *h2Stream {
	for _, s := range c.streams {
		if s.id == id {
			return s
		}
	}
	return nil
}

// idle tells whether a stream does not exist yet, so that most frames for it are
// errors (RFC 9113 §5.1). Even numbers are ours to open, and we open none. Those
// that came after our GOAWAY do not count.
func (c *h2Conn) idle(id uint32) bool { return id&1 == 0 || id > c.lastID && !c.ending }

// remove forgets s, which may be in the list. It is not valid any more.
func (c *h2Conn) remove(s *h2Stream) {
	if i := slices.Index(c.streams, s); i >= 0 {
		c.streams = slices.Delete(c.streams, i, i+1)
	}
	c.drop(s)
	*s = h2Stream{}
	h2Streams.Put(s)
}

// drop gives back what the connection holds for s.
func (c *h2Conn) drop(s *h2Stream) {
	if s.held == 0 {
		return
	}
	c.unhold(s.held)
	if s.body != nil {
		c.giveBack(len(s.body))
	}
	s.held, s.body, s.rest = 0, nil, nil
}

// reset ends s with an error.
func (c *h2Conn) reset(s *h2Stream, code h2Code) {
	c.resetID(s.id, code)
	c.remove(s)
}

// fault resets s because of what its client did. A request that is lost by it is
// charged like one that is answered.
func (c *h2Conn) fault(s *h2Stream, code h2Code) error {
	lost := !s.waits()
	c.reset(s, code)
	if !lost {
		return nil
	}
	return c.charge()
}

// charge charges the client for a request without a query that gets no answer.
func (c *h2Conn) charge() error {
	if !c.server.handler.admits(c.client, c.received) {
		c.refusals.add()
	}
	return c.finish(nil, true)
}

// chargeLost charges the client for each request that is lost with the connection,
// which ended for the reason given. What we end ourselves, to make room or because the
// server stops, is charged to nobody, and after a panic nobody calls this.
func (c *h2Conn) chargeLost(ended error) {
	if errors.Is(ended, net.ErrClosed) || c.server.draining.Load() {
		return
	}
	for _, s := range c.streams {
		if !s.waits() {
			c.server.handler.admits(c.client, c.received)
		}
	}
}

// fail is for an error of a stream in a frame that may come at any time. A stream
// that is idle must not be reset (RFC 9113 §6.4), so that the connection ends
// instead (§5.4.1).
func (c *h2Conn) fail(id uint32, code h2Code) error {
	switch s := c.find(id); {
	case s != nil:
		return c.fault(s, code)
	case c.idle(id):
		return code
	case id <= c.lastID:
		c.resetID(id, code)
	}
	return nil
}

func (c *h2Conn) resetID(id uint32, code h2Code) {
	c.muted.add(id)
	c.work.out = appendH2Reset(c.work.out, id, code)
}

// Bounds on what connections hold: bodies that have not arrived whole, header
// blocks that go on, answers that wait for a window. Queries are answered out of
// the inbox and hold nothing.
const (
	h2HeldBytes    = 256 << 10 // of one connection: its window, and as much of answers
	h2AllHeldBytes = 64 << 20  // of all connections, as largeMessages allows elsewhere
)

var h2Held atomic.Int64

// hold accounts for n bytes. It returns false when there is no room for them.
func (c *h2Conn) hold(n int) bool {
	if c.held+n > h2HeldBytes {
		return false
	}
	if h2Held.Add(int64(n)) > h2AllHeldBytes {
		h2Held.Add(int64(-n))
		return false
	}
	c.held += n
	return true
}

func (c *h2Conn) unhold(n int) {
	c.held -= n
	h2Held.Add(int64(-n))
}
