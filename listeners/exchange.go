package listeners

import (
	"errors"
	"sync"
	"sync/atomic"

	"domainpark/query"
)

// exchange is what one query over HTTP or QUIC needs while it is answered. Such
// queries have no worker or connection that could own it, so it is borrowed.
type exchange struct {
	query   query.Query
	inbox   inbox  // what a QUIC stream sent
	message []byte // what HTTP carried
	out     []byte
	large   bool // has a share of largeMessages
}

// keptBytes is the largest message whose buffer is kept for the next one: more
// than a padded answer of the parking profile takes.
const keptBytes = 4096

var exchanges = sync.Pool{New: func() any {
	x := &exchange{out: make([]byte, 0, keptBytes), message: make([]byte, 0, ownBytes)}
	x.query.Worker = int(exchangesMade.Add(1))
	return x
}}

// exchangesMade numbers the exchanges, as Query.Worker: the pool keeps about
// one for a CPU, so they spread over the counters as workers do.
var exchangesMade atomic.Uint32

func borrowExchange() *exchange { return exchanges.Get().(*exchange) }

// release gives x back. Nothing that points into it may be used any more.
func (x *exchange) release() {
	x.inbox.release()
	x.query.Message = nil
	if x.large {
		x.large = false
		largeMessages.Add(-1)
	}
	if max(cap(x.out), cap(x.message)) <= keptBytes {
		exchanges.Put(x)
	}
}

// maxLarge is how many messages above keptBytes may be arriving at once, over
// all connections: clients may send up to 64 KiB on each of a hundred streams,
// yet no sensible query has 4 KiB. It bounds their memory to 64 MiB.
const maxLarge = 1024

var largeMessages atomic.Int32

// errBusy says that too many large messages are arriving.
var errBusy = errors.New("too many large messages at once")

// mayHold tells whether x may hold a message of size bytes.
func (x *exchange) mayHold(size int) bool {
	if size <= keptBytes || x.large {
		return true
	}
	if largeMessages.Add(1) > maxLarge {
		largeMessages.Add(-1)
		return false
	}
	x.large = true
	return true
}
