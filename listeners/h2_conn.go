package listeners

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/http2/hpack"
)

// h2Conn is one connection. Its goroutine alone touches it, but for raw's read
// deadline and its end, which are the server's too.
type h2Conn struct {
	server  *h2Server
	raw     net.Conn
	conn    net.Conn // raw, or TLS over it
	client  netip.AddrPort
	number  int
	account Connection
	in      inbox
	work    *h2Work // borrowed while there is something to do; else nil
	turn    turn

	received  time.Time // when the latest bytes came
	idleBy    time.Time // when nothing has been asked
	frameBy   time.Time // when the frame or header block that has begun must be complete
	lookUntil time.Time // if the server stops early on: when it has been heard
	armed     time.Time // the deadline that raw has; zero: none, or it has passed
	stuck     bool      // the client does not take what we write

	stage    h2Stage
	goodbye  bool   // GOAWAY has been sent because the server stops
	ending   bool   // GOAWAY has been sent: later streams get nothing
	lastID   uint32 // the highest stream that was opened
	patience int    // what is left for frames that ask for nothing
	refusals refusals

	streams []*h2Stream // those that are open, oldest first
	muted   h2Muted     // those that we reset lately
	block   *h2Block    // header block that goes on; nil: none
	held    int         // bytes of bodies, block and blocked answers; see hold

	// What the client may send, all streams together.
	window int // what is left
	owed   int // what it may be given back

	// How answers leave.
	sendWindow  int64 // all streams together
	sendInitial int64 // of each new stream
	taught      bool  // the client's HPACK table has our header fields
	plain       bool  // it has no room for them
	shrink      bool  // its table shrank: the next header block has to say so

	decoder *hpack.Decoder // nil before the first request
	fields  h2Seen         // the latest header block
}

// h2Stage is how far a connection has come.
type h2Stage uint8

const (
	h2AwaitsPreface h2Stage = iota
	h2AwaitsSettings
	h2Runs
)

// h2Work is what a connection needs only while it answers.
type h2Work struct {
	exchange
	out  []byte
	list webFields
	date [dateBytes]byte
	at   int64 // Unix time of date
}

var h2Works = sync.Pool{New: func() any {
	w := &h2Work{out: make([]byte, 0, 16<<10)}
	w.message = make([]byte, 0, ownBytes)
	return w
}}

func newH2Conn(s *h2Server, raw, conn net.Conn, account Connection) *h2Conn {
	now := time.Now()
	return &h2Conn{
		server:      s,
		raw:         raw,
		conn:        conn,
		client:      remote(raw),
		number:      int(s.serial.Add(1)),
		account:     account,
		turn:        turn{waits: waitsOf(raw)},
		received:    now,
		idleBy:      now.Add(s.timeouts().Message), // for the preface; as net/http has it here
		lookUntil:   now.Add(lastLook),
		patience:    h2Patience,
		refusals:    refusals{most: mostRefused(s.accounts), dismissed: dismissed{s.cfg.dismissals, s.handler.transport, raw}},
		window:      h2ConnWindow,
		sendWindow:  h2DefaultWindow,
		sendInitial: h2DefaultWindow,
	}
}

// run serves the connection to its end.
func (c *h2Conn) run() {
	defer c.server.finish(c)
	defer c.faulted()
	err := c.serve()
	c.chargeLost(err)
	code, violation := err.(h2Code)
	if violation {
		c.server.log.Debug("HTTP/2 connection ended", "client", c.client.String(), "code", h2CodeNames[code])
	}
	if violation || err == errSpent || err == errDrained || err == errIdle {
		c.linger()
	}
}

// faulted is for a deferred call. It ends the connection after a panic, which is
// no reason to write anything more to it.
func (c *h2Conn) faulted() {
	if cause := recover(); cause != nil {
		c.server.cfg.faults.note(cause, c.server.handler.transport.String(), c.client)
		c.stuck = true
		_ = c.raw.Close()
	}
}

// serve reads and answers until the client ends, a deadline passes or it breaks
// the rules. It returns why.
func (c *h2Conn) serve() error {
	for {
		ended := c.fill()
		if err := c.process(ended); err != nil {
			return err
		}
		if ended != nil {
			return ended // after the answers: a client may close its side first
		}
	}
}

// fill reads once, or returns because a deadline has passed: nil when the
// connection lives on all the same.
func (c *h2Conn) fill() error {
	c.turn.pass()
	c.arm()
	n, err := c.conn.Read(c.in.space())
	c.received = time.Now()
	c.turn.read(c.received)
	if n > 0 {
		if !c.unfinished() {
			c.frameBy = c.received.Add(c.server.timeouts().Message)
		}
		c.in.took(n)
		return err
	}
	if !isTimeout(err) {
		return err
	}
	c.armed = time.Time{}
	return nil
}

// process answers what has arrived whole and ends what has taken too long. What
// was answered before an error is sent all the same.
func (c *h2Conn) process(ended error) error {
	w := h2Works.Get().(*h2Work)
	c.work = w
	defer c.release()
	w.query.Client, w.query.Transport, w.query.Worker = c.client, c.server.handler.transport, c.number
	w.query.Received = c.received
	err := c.takeAll()
	if err == nil && ended == nil {
		err = c.overdue()
	}
	switch code, violation := err.(h2Code); {
	case violation:
		c.greet()
		w.out = appendH2GoAway(w.out, c.lastID, code)
	case (err == errDrained || err == errIdle) && c.stage != h2AwaitsPreface && !c.ending:
		w.out = appendH2GoAway(w.out, c.lastID, h2NoError)
	}
	if failed := c.flush(); failed != nil {
		return failed
	}
	c.in.settle()
	return err
}

// release gives back what process has borrowed.
func (c *h2Conn) release() {
	w := c.work
	c.work = nil
	w.query.Message = nil
	w.list.reset()
	if cap(w.out) <= keptOutBytes && max(cap(w.message), cap(w.exchange.out)) <= keptBytes {
		w.out = w.out[:0]
		h2Works.Put(w)
	}
}

// takeAll takes every frame that is complete.
func (c *h2Conn) takeAll() error {
	if c.stage == h2AwaitsPreface {
		if err := c.takePreface(); err != nil || c.stage == h2AwaitsPreface {
			return err
		}
	}
	for {
		data := c.in.buf()[c.in.from:c.in.to]
		f, rest, err := parseH2Frame(data)
		if err != nil {
			return err
		}
		if len(rest) == len(data) {
			return nil
		}
		c.in.from = c.in.to - len(rest)
		if c.block == nil { // of a frame that has begun behind this one
			c.frameBy = c.received.Add(c.server.timeouts().Message)
		}
		if err := c.take(f); err != nil {
			return err
		}
		if len(c.work.out) >= flushBytes {
			if err := c.flush(); err != nil {
				return err
			}
		}
	}
}

// takePreface takes what a client has to say first.
func (c *h2Conn) takePreface() error {
	data := c.in.buf()[c.in.from:c.in.to]
	n := min(len(data), len(h2Preface))
	if !bytes.Equal(data[:n], []byte(h2Preface[:n])) {
		return h2ProtocolError
	}
	if n < len(h2Preface) {
		return nil
	}
	c.in.from += n
	c.greet()
	c.stage = h2AwaitsSettings
	c.idleBy = c.received.Add(c.server.accounts.Idle())
	return nil
}

// greet says what we have to say first. It waits for the client's preface, so
// that a new connection gets SETTINGS and its first answer in one write.
func (c *h2Conn) greet() {
	if c.stage != h2AwaitsPreface {
		return
	}
	out := appendH2Settings(c.work.out,
		h2Setting{h2MaxStreams, uint32(c.server.streams)},
		h2Setting{h2InitialWindowSize, h2StreamWindow},
		h2Setting{h2MaxHeaderListSize, maxHeaderBytes},
	)
	c.work.out = appendH2WindowUpdate(out, 0, h2ConnWindow-h2DefaultWindow)
}

// flush sends what there is. The client must take all of it within one timeout.
func (c *h2Conn) flush() error {
	out := c.work.out
	if len(out) == 0 {
		return nil
	}
	c.armWrite()
	_, err := c.conn.Write(out)
	c.work.out = out[:0]
	c.stuck = err != nil
	return err
}

// linger ends our side, and reads what the client still sends until it ends its
// own: see stream.linger.
func (c *h2Conn) linger() {
	_ = c.raw.SetDeadline(time.Now().Add(min(lingering, c.server.timeouts().Shutdown)))
	if t, ok := c.conn.(*tls.Conn); ok {
		_ = t.CloseWrite()
	}
	if half, ok := c.raw.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, c.raw)
	}
}

// close ends the connection. Under TLS that says so to the client, unless it
// takes nothing any more: crypto/tls would wait five more seconds for it.
func (c *h2Conn) close() {
	c.in.release()
	c.unhold(c.held)
	if c.stuck {
		_ = c.raw.Close()
		return
	}
	_ = c.conn.Close()
}
