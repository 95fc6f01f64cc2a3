package listeners

import "runtime"

// turn sees to it that a connection which always has something to read leaves its
// CPU to the others. Its goroutine never waits, and Go's scheduler lets one that
// does not wait go on for 10 ms: with 64 connections that send queries as fast as
// they are taken, a client beside them waited 0.6 s for an answer.
type turn struct {
	reads int // without waiting
}

// readsInTurn is how often a connection may read before it is another one's turn.
// A read of 4 KiB holds a hundred queries, which take 50 µs: a turn is half a
// millisecond at most then, and giving way costs nothing that can be measured.
const readsInTurn = 8

// take is to be called before each try to read.
func (t *turn) take() {
	if t.reads++; t.reads > readsInTurn {
		t.reads = 1
		runtime.Gosched()
	}
}

// wait is to be called when there is nothing to read: others have their turns then.
func (t *turn) wait() { t.reads = 0 }
