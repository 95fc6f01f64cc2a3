package listeners

import (
	"sync"
	"sync/atomic"

	"domainpark/query"
)

// exchange is what one query over HTTP or QUIC needs while it is answered. Such
// queries have no worker or connection that could own it, so it is borrowed.
type exchange struct {
	query   query.Query
	inbox   inbox    // what a QUIC stream sent
	message []byte   // what HTTP carried
	fields  h3Fields // reads HTTP/3's headers
	out     []byte
	large   ticket
}

// packetBytes is the longest packet on Ethernet. What an exchange reads at once
// of an HTTP/3 stream is no longer: more is no ordinary query.
const packetBytes = 1500

// keptBytes is the largest message whose buffer is kept for the next one: more
// than a padded answer of the parking profile takes.
const keptBytes = 4096

var exchanges = sync.Pool{New: func() any {
	x := &exchange{out: make([]byte, 0, keptBytes), message: make([]byte, 0, packetBytes)}
	x.query.Worker = int(exchangesMade.Add(1))
	return x
}}

// exchangesMade numbers the exchanges, as Query.Worker: the pool keeps about
// one for a CPU, so they spread over the counters as workers do.
var exchangesMade atomic.Uint32

func borrowExchange() *exchange { return exchanges.Get().(*exchange) }

// release gives x, which was borrowed, back. Nothing that points into it may be used
// any more.
func (x *exchange) release() {
	x.inbox.release()
	x.query.Message = nil
	x.large.giveBack()
	if max(cap(x.out), cap(x.message)) <= keptBytes {
		exchanges.Put(x)
	}
}

// lost is for the deferred call of who has x: after a panic x gives back its
// rights, and is not used again. The panic goes on.
func (x *exchange) lost() {
	if cause := recover(); cause != nil {
		x.inbox.ticket.giveBack()
		x.large.giveBack()
		panic(cause)
	}
}

// mayHold tells whether x may hold a message of size bytes.
func (x *exchange) mayHold(size int) bool { return size <= keptBytes || x.large.take() }
