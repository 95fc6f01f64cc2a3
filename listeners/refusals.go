package listeners

import (
	"net/http"
	"sync/atomic"
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
}

// mostRefused is refusals.most for a connection that begins now.
func mostRefused(accounts Connections) int32 {
	return int32(max(maxStreams, accounts.Streams()))
}

// retryHint is how many seconds a client that was refused should wait (RFC 6585
// §4, RFC 9110 §10.2.3): its account fills by the second.
var retryHint = []string{"1"}

// add counts a refusal.
func (r *refusals) add() {
	if r != nil && r.inRow.Add(1) > r.most && r.end != nil {
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
