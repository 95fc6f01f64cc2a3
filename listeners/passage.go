package listeners

import (
	"crypto/tls"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"domainpark/query"
)

// passage is the way of one handshake through the gate.
type passage struct {
	gate      *handshakeGate
	transport query.Transport
	network   netip.Prefix
	patience  time.Duration   // how long it may wait
	by        time.Time       // when the handshake must be done
	conn      syscall.RawConn // tells whether the client is there; nil: that is not known
	stop      <-chan struct{} // closed when nobody is to wait any more; nil: never

	// The handshake's goroutine's.
	heard  plainMessages // from the client
	due    bool          // its first flight is begun, and not yet computed
	paused bool          // it has given its place back to wait for the client
	full   bool          // it is to be signed; otherwise it resumes a session, or has failed so far
	whole  bool          // all that is dear of it is computed, and can be learnt from
	word   chan error    // nil, or why there is no place; made before it waits
	began  time.Time     // to be computed; zero: it is not
	took   time.Duration // to be computed, until it was last interrupted

	// The gate's, guarded by its mu.
	in             *line // which it is in; nil: none
	before, behind *passage
	since          time.Time // it is in that line
	barred         bool      // its connection is closed: it gets no place any more
}

// newPassage is for a handshake whose connection is below, for a server with cfg. It has
// to be done by a time that was set when it began.
func newPassage(cfg *Config, t query.Transport, below *records, client netip.Addr, by time.Time) *passage {
	p := &passage{gate: cfg.gate, transport: t, network: networkOf(client), patience: cfg.now().Timeouts.Handshake / 3, by: by}
	if below.calls != nil {
		p.conn = below.calls.conn
	}
	return p
}

// passing is what a connection has of its handshake's passage. Its zero value holds
// nobody up. One goroutine uses it, but for bar.
type passing struct{ now atomic.Pointer[passage] }

// shut is the passage of connections that were closed before theirs began.
var shut = new(passage)

// begin is called before a handshake, and end when it is over.
func (w *passing) begin(p *passage) {
	if p.gate != nil {
		w.now.CompareAndSwap(nil, p)
	}
}

// sign is called when the handshake is to have a signature, once it has been charged for.
func (w *passing) sign() {
	if p := w.now.Load(); p != nil && p != shut {
		p.full = true
	}
}

// succeed is end for a handshake that has succeeded. What one of TLS 1.3 costs was learnt
// with its flight, and one that resumes a session shows nothing of what signatures cost.
func (w *passing) succeed(c *tls.Conn) {
	if p := w.now.Load(); p != nil && p != shut && p.due {
		p.whole = p.full && !c.ConnectionState().DidResume
	}
	w.end()
}

// end gives up a place for good.
func (w *passing) end() {
	if p := w.now.Load(); p != nil && p != shut && w.now.CompareAndSwap(p, nil) {
		p.gate.leave(p)
	}
}

// bar is called when the connection is closed by somebody else: a handshake that
// waits ends, and one that has not begun to wait does not. It does not wait.
func (w *passing) bar() {
	if p := w.now.Swap(shut); p != nil && p != shut {
		p.gate.bar(p)
	}
}

// enter waits for a place, when the first flight can be computed.
func (w *passing) enter() error {
	switch p := w.now.Load(); p {
	case nil:
		return nil
	case shut:
		return errBarred
	default:
		p.due = true
		return p.enter()
	}
}

// pause is called before what may have to wait for the client.
func (w *passing) pause() {
	if p := w.now.Load(); p != nil && p.due && !p.paused {
		p.paused = true
		p.gate.leave(p)
	}
}

// resume is called with all that crypto/tls reads from a client, also before the handshake
// needs a place. It waits for one when the message is whole that more is computed from: the
// second, which is another hello, or the client's keys in TLS 1.2. Nothing asks
// clients for certificates. A client that sends it byte by byte passes once nevertheless.
func (w *passing) resume(read []byte) error {
	p := w.now.Load()
	if p == nil || p == shut {
		return nil
	}
	if p.heard.whole > 1 {
		return nil // what follows may be encrypted, and is not dear
	}
	p.heard.hear(read)
	if p.due && p.paused && p.heard.whole > 1 {
		p.paused = false
		return p.enter()
	}
	return nil
}

// wrote looks at what crypto/tls writes, whole records. Behind the server's flight
// of TLS 1.3 nothing dear follows. It is known by what comes behind the ServerHello:
// all else is encrypted, and a record that is no handshake's any more stands before it
// (RFC 8446 §5.1, appendix D.4). A HelloRetryRequest is written alone, and another
// hello follows it. In TLS 1.2 the keys are computed from the client's second
// flight, so that waits as well.
func (w *passing) wrote(records []byte) {
	p := w.now.Load()
	if p == nil || !p.due {
		return
	}
	n := recordIn(records)
	if n > 0 && n < len(records) && records[0] == recordHandshake && records[n] != recordHandshake {
		p.due, p.whole = false, p.full
		p.gate.leave(p)
	}
}

// passes is a connection below crypto/tls whose handshake has a passage.
type passes interface{ way() *passing }

// enterGate waits for a place for the handshake of conn.
func enterGate(conn net.Conn) error {
	if c, ok := conn.(passes); ok {
		return c.way().enter()
	}
	return nil
}

// signed tells the passage of the handshake of conn that there is to be a signature.
func signed(conn net.Conn) {
	if c, ok := conn.(passes); ok {
		c.way().sign()
	}
}

// enter waits for a place, if there is none.
func (p *passage) enter() error {
	now := time.Now()
	waits, err := p.gate.join(p, now)
	switch {
	case err != nil:
		return err
	case waits:
		if err := p.wait(now); err != nil {
			return err
		}
	default:
		// All others that are ready go first, and those with a hello come here. Without
		// that no CPU would find out that there is a crowd: it computes one handshake
		// after the other, and none of them finds a place taken.
		runtime.Gosched()
	}
	p.began = time.Now()
	if !p.began.Before(p.by) {
		return os.ErrDeadlineExceeded
	}
	return nil
}

// wait returns when p, which has joined the gate at now, is told that it has a place.
// It waits for as long as it was to when it came, whatever the settings become, and not
// beyond the end of its handshake, or of its listener where nobody else would end it.
func (p *passage) wait(now time.Time) (err error) {
	enough := time.NewTimer(min(p.patience, p.by.Sub(now)))
	defer enough.Stop()
	select {
	case err = <-p.word:
	case <-enough.C:
		p.gate.turnAway(p)
		err = <-p.word
	case <-p.stop:
		p.gate.bar(p)
		<-p.word // which may have been a place
		err = errBarred
	}
	if err == nil && p.conn != nil && hungUp(p.conn) {
		err = errHungUp
	}
	return err
}

// aside is for a deferred call: what is done from now until then is no computing, and may
// take any time.
func (w *passing) aside() (done func()) {
	p := w.now.Load()
	if p == nil || p.began.IsZero() {
		return func() {}
	}
	from := time.Now()
	return func() { p.began = p.began.Add(time.Since(from)) }
}

// interrupt adds what was computed since it began to the rest.
func (p *passage) interrupt() {
	if !p.began.IsZero() {
		p.took += time.Since(p.began)
		p.began = time.Time{}
	}
}
