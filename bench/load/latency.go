package load

import (
	"math/bits"
	"time"
)

// Latency is how long answers took: half of them, 99 % and 99.9 % not longer
// than this. Each is at most an eighth too high.
type Latency struct{ Half, P99, P999 time.Duration }

// histogram counts durations in buckets that grow with them: eight for each
// doubling, in microseconds.
type histogram [32 * perDoubling]uint64

const perDoubling = 8

func (h *histogram) note(d time.Duration) {
	us := uint64(max(d.Microseconds(), 0))
	i := us
	if us >= perDoubling {
		e := bits.Len64(us) - 4 // the first of eight below the leading bit
		i = uint64(e+1)*perDoubling + us>>e - perDoubling
	}
	h[min(i, uint64(len(h)-1))]++
}

// end is the end of bucket i, in microseconds.
func end(i int) uint64 {
	if i < perDoubling {
		return uint64(i) + 1
	}
	e := i/perDoubling - 1
	return uint64(i%perDoubling+perDoubling+1) << e
}

func (h *histogram) add(other *histogram) {
	for i, n := range other {
		h[i] += n
	}
}

func (h *histogram) latency() Latency {
	var total uint64
	for _, n := range h {
		total += n
	}
	within := func(share float64) time.Duration {
		var seen uint64
		for i, n := range h {
			if seen += n; n > 0 && float64(seen) >= share*float64(total) {
				return time.Duration(end(i)) * time.Microsecond
			}
		}
		return 0
	}
	return Latency{within(.5), within(.99), within(.999)}
}
