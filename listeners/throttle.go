package listeners

import (
	"sync/atomic"
	"time"
)

const (
	// complainEvery bounds log lines about what clients, or a lack of memory or
	// descriptors, can bring about again and again.
	complainEvery = 10 * time.Second

	// retryAfter keeps a socket that can't receive from keeping a CPU busy.
	retryAfter = 10 * time.Millisecond
)

// throttle lets one event of a period through and counts the others. The zero
// value is ready; it is safe for concurrent use.
type throttle struct {
	last atomic.Int64 // Unix nanoseconds of the latest event let through
	left atomic.Uint64
}

// allow tells whether the event at now is let through, and if so how many were
// not since the one before.
func (t *throttle) allow(now time.Time, every time.Duration) (left uint64, ok bool) {
	last, at := t.last.Load(), now.UnixNano()
	if last != 0 && at-last < int64(every) || !t.last.CompareAndSwap(last, at) {
		t.left.Add(1)
		return 0, false
	}
	return t.left.Swap(0), true
}
