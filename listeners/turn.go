package listeners

import (
	"net"
	"runtime"
	"time"
)

// turn sees to it that a connection which always has something to read leaves its
// CPU to the others. Its goroutine never waits, and Go's scheduler lets one that
// does not wait go on for 10 ms: with 64 connections that send queries as fast as
// they are taken, half of the answers to a client beside them took above 1.3 s on one
// CPU, and now 34 ms. Giving way every fifth of a millisecond, when all that was read
// has been answered and sent, costs nothing that can be measured. The goroutine that
// reads uses it.
type turn struct {
	waits *uint // counts the reads that found nothing at first; nil: not known, and nobody gives way
	seen  uint  // of them
	since time.Time
	over  bool

	left   time.Time     // when the latest read that goes on had something
	worked time.Duration // what came of that took so long
}

// turnTime is how long a connection may go on that does not have to wait. What it
// does between two reads is not divided.
const turnTime = 200 * time.Microsecond

// read says that a read has returned at now. When it had to wait, others had
// their turn. The first one begins a turn.
func (t *turn) read(now time.Time) {
	switch {
	case t.waits == nil:
	case *t.waits != t.seen || t.since.IsZero():
		t.seen, t.since, t.over = *t.waits, now, false
	default:
		t.over = now.Sub(t.since) >= turnTime
	}
}

// noWait is the longest time between the end of some work and the next read that is
// taken for none: a read itself takes about 1 µs.
const noWait = 10 * time.Microsecond

// woken is read for a read that has gone on behind waiting, which does not know
// whether it had to wait.
func (t *turn) woken(now time.Time) {
	if now.Sub(t.left)-t.worked > noWait {
		t.since = now
	}
	t.over = now.Sub(t.since) >= turnTime
	if t.waits != nil {
		t.seen = *t.waits
	}
}

// waiting says that what a read has brought at then is done, and that the read goes
// on.
func (t *turn) waiting(then time.Time) { t.left, t.worked = then, time.Since(then) }

// pass gives way if the turn is over. It is to be called before a read, when what
// came before has been answered.
func (t *turn) pass() {
	if t.over {
		t.over = false
		runtime.Gosched()
		t.since = time.Now()
	}
}

// waitsOf counts the reads of c that found nothing at first; nil: nobody counts.
func waitsOf(c net.Conn) *uint {
	if own, ok := c.(*accountedConn); ok {
		c = own.Conn
	}
	switch c := c.(type) {
	case *lingeringConn:
		return c.counted()
	case *directConn:
		return c.counted()
	}
	return nil
}
