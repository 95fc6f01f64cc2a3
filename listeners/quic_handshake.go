package listeners

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
)

// Until a client has proved that it receives what is sent to its address, the
// address may be somebody else's. QUIC then sends it at most three times what
// it sent (RFC 9000 §8.1), but a handshake costs a signature, and a query in
// 0-RTT would be charged to the wrong client. So here: unproven handshakes
// beyond a number are answered by a Retry alone, and 0-RTT is taken only with
// an address validation token, which clients keep together with the TLS ticket.

// retryAbove is how many unproven handshakes may be under way before every
// further client has to prove its address first, at the price of a round trip
// (RFC 9000 §8.1.2). Clients 50 ms away begin 2,500 handshakes a second without
// reaching it; forged ones stay until the handshake times out and reach it at
// once. A guess.
const retryAbove = 128

// handshakes decides about the handshakes of a listener and counts those that
// are unproven. It is safe for concurrent use.
type handshakes struct {
	cfg       *Config
	accounts  Connections
	busy      quic.ApplicationErrorCode // ends a connection that makes room for another
	unproven  atomic.Int64
	faults    *faults
	transport string
}

// fails is for the deferred call of what quic-go calls. It turns a panic into an
// error, which costs the handshake. A nil hello is that of an unknown client.
func (h *handshakes) fails(err *error, hello *tls.ClientHelloInfo) {
	if cause := recover(); cause != nil {
		var client netip.AddrPort
		if hello != nil {
			client = remote(hello.Conn)
		}
		h.faults.note(cause, h.transport, client)
		*err = errFault
	}
}

// recovering returns a copy of given, which has no GetConfigForClient of its own
// in this server, whose callbacks fail where they would panic.
func (h *handshakes) recovering(given *tls.Config) *tls.Config {
	c := given.Clone()
	if certify := c.GetCertificate; certify != nil {
		c.GetCertificate = func(hello *tls.ClientHelloInfo) (cert *tls.Certificate, err error) {
			defer h.fails(&err, hello)
			return certify(hello)
		}
	}
	if wrap := c.WrapSession; wrap != nil {
		c.WrapSession = func(state tls.ConnectionState, session *tls.SessionState) (ticket []byte, err error) {
			defer h.fails(&err, nil)
			return wrap(state, session)
		}
	}
	if unwrap := c.UnwrapSession; unwrap != nil {
		c.UnwrapSession = func(ticket []byte, state tls.ConnectionState) (session *tls.SessionState, err error) {
			defer h.fails(&err, nil)
			return unwrap(ticket, state)
		}
	}
	return c
}

// chargedSafely are accounts that refuse a handshake where they would panic.
type chargedSafely struct {
	Connections
	handshakes *handshakes
}

// Handshake implements Connections.
func (a chargedSafely) Handshake(now time.Time, addr netip.Addr) (ok bool) {
	var err error // ok is false then
	defer a.handshakes.fails(&err, nil)
	return a.Connections.Handshake(now, addr)
}

// Resume implements Connections.
func (a chargedSafely) Resume(now time.Time, addr netip.Addr) (ok bool) {
	var err error
	defer a.handshakes.fails(&err, nil)
	return a.Connections.Resume(now, addr)
}

// idle is how long a connection may be idle. A panic leaves it no time at all.
func (h *handshakes) idle() (left time.Duration) {
	var err error // left is zero then
	defer h.fails(&err, nil)
	return h.accounts.Idle()
}

// handshake is one of them, in the context of its connection.
type handshake struct {
	proven  bool       // by a token, before it began
	over    func()     // takes an unproven one off the count; may be called twice
	account Connection // nil as long as the address is unproven
	place   place
	passing passing   // through the gate
	by      time.Time // when it must be done
}

type handshakeKey struct{}

var errCrowded = errors.New("no room for the connection")

// crowded implements quic.Transport.VerifySourceAddress.
func (h *handshakes) crowded(claimed net.Addr) (yes bool) {
	defer func() {
		if cause := recover(); cause != nil {
			h.faults.note(cause, h.transport, addrOf(claimed))
			yes = true // it may still prove its address
		}
	}()
	return h.unproven.Load() >= retryAbove || !h.accounts.Newcomer(time.Now(), addrOf(claimed).Addr())
}

// begin implements quic.Transport.ConnContext. ctx ends with the connection. A
// client that has proved its address gets its account here, before anything is
// spent on it; when there is no room it is told CONNECTION_REFUSED.
func (h *handshakes) begin(ctx context.Context, info *quic.ClientInfo) (_ context.Context, err error) {
	defer h.fails(&err, nil)
	this := &handshake{proven: info.AddrVerified, over: func() {}, by: time.Now().Add(h.cfg.now().Timeouts.Handshake)}
	this.place.busy = h.busy
	if this.proven {
		this.account = h.accounts.Open(time.Now(), addrOf(info.RemoteAddr).Addr(), this.evict)
		if this.account == nil {
			return nil, errCrowded
		}
	} else {
		h.unproven.Add(1)
		this.over = sync.OnceFunc(func() { h.unproven.Add(-1) })
	}
	context.AfterFunc(ctx, func() { h.gone(this) })
	return context.WithValue(ctx, handshakeKey{}, this), nil
}

// gone is for the connection of a handshake, done or not, that has ended.
func (h *handshakes) gone(this *handshake) {
	var err error
	defer h.fails(&err, nil)
	this.over()
	this.ended()
	if this.proven {
		this.account.Close()
	}
}

// admit returns the account of a connection whose client is proven, nil when
// there is no room for it. A client that came without a token is charged for
// the handshake only now: before, it would have been charged to whose address
// it used. Newcomer bounds what that gives away.
func (h *handshakes) admit(conn *quic.Conn) Connection {
	this, ok := conn.Context().Value(handshakeKey{}).(*handshake)
	if !ok {
		return nil
	}
	if this.account == nil {
		addr, now := remote(conn).Addr(), time.Now()
		charge := h.accounts.Handshake
		if conn.ConnectionState().TLS.DidResume {
			charge = h.accounts.Resume
		}
		if !charge(now, addr) {
			return nil
		}
		if this.account = h.accounts.Open(now, addr, this.evict); this.account == nil {
			return nil
		}
	}
	this.place.take(conn)
	return this.account
}

// place is what a connection has to leave when there is no room, which may be
// before quic-go has handed it to us.
type place struct {
	busy quic.ApplicationErrorCode
	conn atomic.Pointer[quic.Conn]
	left atomic.Bool
}

// take says whose place it is.
func (p *place) take(conn *quic.Conn) {
	p.conn.Store(conn)
	if p.left.Load() {
		p.leave()
	}
}

// leave closes the connection. It does not wait; quic-go would.
func (p *place) leave() {
	p.left.Store(true)
	if conn := p.conn.Load(); conn != nil {
		go func() { _ = conn.CloseWithError(p.busy, "making room for other clients") }()
	}
}

// hasToken tells whether the client began the handshake of ctx with a token for
// its address.
func hasToken(ctx context.Context) bool {
	h, ok := ctx.Value(handshakeKey{}).(*handshake)
	return ok && h.proven
}

// proven waits until the client of conn has proved its address. It is false
// when the connection or ctx ended before.
func proven(ctx context.Context, conn *quic.Conn) bool {
	h, ok := conn.Context().Value(handshakeKey{}).(*handshake)
	if !ok || h.proven {
		return ok
	}
	select {
	case <-conn.HandshakeComplete():
		h.over()
		return true
	case <-conn.Context().Done():
	case <-ctx.Done():
	}
	return false
}
