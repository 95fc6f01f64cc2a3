package listeners

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"domainpark/query"
)

// accountedSocket is a TCP socket for net/http. Its connections are accounted for
// from the moment they are accepted until they are closed.
type accountedSocket struct {
	net.Listener
	accounts Connections
	cfg      *Config
}

// Accept implements net.Listener.
func (s accountedSocket) Accept() (net.Conn, error) {
	c, err := s.acceptOne()
	if err != nil {
		return nil, err
	}
	return c, nil
}

// acceptOne is Accept. It closes what there is no room for.
func (s accountedSocket) acceptOne() (*accountedConn, error) {
	for {
		raw, err := s.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &accountedConn{Conn: raw, accounts: s.accounts, faults: s.cfg.faults,
			refusals: refusals{most: mostRefused(s.accounts), dismissed: dismissed{s.cfg.dismissals, query.DoH, raw}}}
		if c.open() {
			return c, nil
		}
		_ = raw.Close()
	}
}

// accountedConn is a connection with an account.
type accountedConn struct {
	net.Conn
	account  Connection
	accounts Connections
	faults   *faults
	refusals refusals  // of HTTP/1.1
	greeting *greeting // what crypto/tls has yet to read of what came first; nil: nothing, or no TLS
	toll     toll      // what the client has paid before crypto/tls knew of it
	passing  passing   // of the handshake
	unserved bool      // net/http has begun to read a request that no handler has yet; its goroutine's
	idling   int       // how many read deadlines net/http sets before the next request has begun; its goroutine's

	evicted atomic.Bool // it had to make room

	mu   sync.Mutex
	idle *time.Timer // closes it; nil as long as it was never in a hurry
}

// open opens the account. It returns false when the connection is to be closed.
func (c *accountedConn) open() (ok bool) {
	defer func() {
		if cause := recover(); cause != nil {
			c.faults.note(cause, "http", remote(c.Conn))
			ok = false
		}
	}()
	c.account = c.accounts.Open(time.Now(), remote(c.Conn).Addr(), c.evict)
	return c.account != nil
}

// evict closes it to make room for another.
func (c *accountedConn) evict() {
	c.evicted.Store(true)
	c.passing.bar()
	_ = c.Conn.Close()
}

// Close implements net.Conn.
func (c *accountedConn) Close() error {
	c.settle()
	return c.Conn.Close()
}

// settle ends the account. A panic goes no further: net/http closes connections
// where nothing recovers.
func (c *accountedConn) settle() {
	defer func() {
		if cause := recover(); cause != nil {
			c.faults.note(cause, "http", remote(c.Conn))
		}
	}()
	c.account.Close()
}

// Read implements net.Conn. The hello, which was read ahead, comes first.
func (c *accountedConn) Read(p []byte) (int, error) {
	if c.greeting != nil {
		n := c.greeting.read(p)
		if c.greeting.box.empty() {
			c.forget()
		}
		return n, c.passing.resume(p[:n])
	}
	c.passing.pause()
	n, err := c.Conn.Read(p)
	if err == nil {
		err = c.passing.resume(p[:n])
	}
	return n, err
}

// Write implements net.Conn.
func (c *accountedConn) Write(p []byte) (int, error) {
	c.passing.wrote(p)
	return c.Conn.Write(p)
}

// SetReadDeadline implements net.Conn. Behind an answer net/http sets two before it
// reads a header: one for the idle connection, and one when the first four bytes of
// the next request are there. It tells in no other way that a request which it then
// refuses has begun: to ConnState the connection is idle until it is closed. From then
// on the time for a header runs, and the time to be idle is over.
func (c *accountedConn) SetReadDeadline(by time.Time) error {
	if c.idling > 0 {
		if c.idling--; c.idling == 0 {
			c.unserved = true
			c.stay()
		}
	}
	return c.Conn.SetReadDeadline(by)
}

// stay keeps it from being closed as idle.
func (c *accountedConn) stay() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idle != nil {
		c.idle.Stop()
	}
}

// way implements passes.
func (c *accountedConn) way() *passing { return &c.passing }

// CloseWrite ends our side alone. net/http does so after an answer that it
// sends before it has read the request.
func (c *accountedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// accounted is the accountedConn below a connection that net/http has, which may
// have TLS on top.
func accounted(c net.Conn) *accountedConn {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	own, _ := c.(*accountedConn)
	return own
}

// watch is http.Server.ConnState for a server whose idle time is longest. That
// is all that net/http knows, so when less is left a connection that becomes
// idle is closed from here. An HTTP/2 client that has a request on its way then
// repeats it on another connection (RFC 9113 §8.7).
func watch(longest time.Duration) func(net.Conn, http.ConnState) {
	return func(c net.Conn, state http.ConnState) {
		own := accounted(c)
		if own == nil {
			return
		}
		own.stay()
		if state != http.StateIdle {
			return
		}
		if left := own.accounts.Idle(); left < longest {
			own.mu.Lock()
			defer own.mu.Unlock()
			own.idle = time.AfterFunc(left, func() { _ = c.Close() })
		}
	}
}

// firstWithin is next for a server that closes a new connection which, so long
// after its handshake, has not sent a request's header or HTTP/2's preface. For
// the preface net/http always waits 10 s. The next state stops the timer.
func firstWithin(first time.Duration, next func(net.Conn, http.ConnState)) func(net.Conn, http.ConnState) {
	return func(c net.Conn, state http.ConnState) {
		next(c, state)
		if own := accounted(c); own != nil && state == http.StateNew {
			own.mu.Lock()
			defer own.mu.Unlock()
			own.idle = time.AfterFunc(first, func() { _ = c.Close() })
		}
	}
}

// unserved is next for a server that charges a request which no handler gets to see,
// as net/http refuses it by itself or it breaks off: like one without a query. The
// connection is over then, whatever the account says. What we end ourselves, to make
// room or because the server stops, is charged to nobody.
func (s *httpServer) unserved(cfg *Config, next func(net.Conn, http.ConnState)) func(net.Conn, http.ConnState) {
	return func(c net.Conn, state http.ConnState) {
		next(c, state)
		own := accounted(c)
		switch {
		case own == nil:
		case state == http.StateActive:
			own.unserved, own.idling = true, 0
		case state == http.StateIdle:
			own.idling = 2
		case state == http.StateClosed && own.unserved && !own.evicted.Load() && !s.stopping.Load():
			own.charge(cfg.now().Requests)
		}
	}
}

// charge asks the account for a request. A panic goes no further, as in settle.
func (c *accountedConn) charge(may func(time.Time, netip.AddrPort, query.Transport) bool) {
	defer func() {
		if cause := recover(); cause != nil {
			c.faults.note(cause, "http", remote(c.Conn))
		}
	}()
	if may != nil {
		may(time.Now(), remote(c.Conn), query.DoH)
	}
}

type accountKey struct{}

// withAccount is for http.Server.ConnContext.
func withAccount(ctx context.Context, c net.Conn) context.Context {
	if own := accounted(c); own != nil {
		return context.WithValue(ctx, accountKey{}, own)
	}
	return ctx
}

// ending makes net/http end the connection with this answer, after those of
// other streams: Connection: close, which HTTP/2 says as GOAWAY.
var ending = []string{"close"}

// touch notes a request, and returns its connection's refusals. The answer to the
// last one that the connection may have says so.
func touch(w http.ResponseWriter, r *http.Request) *refusals {
	own, ok := r.Context().Value(accountKey{}).(*accountedConn)
	if !ok {
		return nil
	}
	own.unserved = false
	if !own.account.Touch(time.Now()) {
		w.Header()["Connection"] = ending
	}
	return &own.refusals
}

// refuseOn is refuse over HTTP/1.1, where the connection ends with this answer when
// it was one refusal too many.
func refuseOn(w http.ResponseWriter, refused *refusals, e *httpError) {
	refused.note(e.status)
	if refused.over() && refused.end == nil {
		w.Header()["Connection"] = ending
	}
	refuse(w, e)
}
