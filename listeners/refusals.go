package listeners

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"

	"domainpark/query"
)

// refusals counts the requests that one connection has had refused in a row,
// because their client has asked for more than it may (429 over HTTP,
// DOQ_EXCESSIVE_LOAD over DoQ). One too many ends the connection in order, so that
// a client that goes on has to pay for another one: by a handshake, and by its place
// among those that it may have open. On one connection a refusal costs the client
// nothing, and us as much as an answer.
//
// What a client had sent when it was told, it can't take back: as many requests as
// may be in flight. Who waits then for as long as Retry-After says finds its account
// filled, and the count begins anew with what is answered. So one more than that in
// a row was asked by who goes on.
//
// It is safe for concurrent use. Nil counts nothing.
type refusals struct {
	most  int32 // how many there may be
	inRow atomic.Int32
	end   func() // called when there is one too many; nil: who counts looks at over
	dismissed
}

// mostRefused is refusals.most for a connection that begins now.
func mostRefused(accounts Connections) int32 {
	return int32(max(maxStreams, accounts.Streams()))
}

// dismissed is what is noted of a connection that ends for its refusals.
type dismissed struct {
	by        *dismissals
	transport query.Transport
	conn      interface{ RemoteAddr() net.Addr }
}

// dismissals counts such connections. Over TCP and DoT, where nothing says no, one
// refusal is enough. Nil dismissals count nothing; they are those of listeners
// without a Set.
type dismissals struct {
	log    *slog.Logger
	counts [query.Transports]atomic.Uint64
}

// note counts one. Clients bring it about, so it goes to the debug level: at the
// others, policy tells of their network when limiting begins and when it ends.
func (d *dismissals) note(t query.Transport, client netip.AddrPort) {
	if d == nil {
		return
	}
	d.counts[t].Add(1)
	d.log.Debug("connection ended: its client asks on for more than it may", "transport", t.String(), "client", client.String())
}

// retryHint is how many seconds a client that was refused should wait (RFC 6585
// §4, RFC 9110 §10.2.3): its account fills by the second.
var retryHint = []string{"1"}

// add counts a refusal.
func (r *refusals) add() {
	if r == nil {
		return
	}
	n := r.inRow.Add(1)
	if n == r.most+1 {
		r.by.note(r.transport, remote(r.conn))
	}
	if n > r.most && r.end != nil {
		r.end()
	}
}

// answered counts from zero again. When there has been one too many, that is so for good.
func (r *refusals) answered() {
	if r != nil && r.inRow.Load() > 0 && !r.over() {
		r.inRow.Store(0)
	}
}

// note is add or answered, by the status of an answer.
func (r *refusals) note(status int) {
	if status == http.StatusTooManyRequests {
		r.add()
	} else {
		r.answered()
	}
}

// over tells whether the connection is to end.
func (r *refusals) over() bool { return r != nil && r.inRow.Load() > r.most }
