package telemetry

import (
	"sync/atomic"
	"time"
)

// latencyBounds are the upper ends of the buckets: from an answer that was
// compiled before, which takes microseconds, to a machine that is in trouble.
var latencyBounds = [...]time.Duration{
	2 * time.Microsecond, 5 * time.Microsecond, 10 * time.Microsecond, 20 * time.Microsecond, 50 * time.Microsecond,
	100 * time.Microsecond, 200 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 50 * time.Millisecond,
	200 * time.Millisecond, time.Second,
}

// histogram counts durations. The zero value is ready; it is safe for
// concurrent use.
type histogram struct {
	buckets [len(latencyBounds) + 1]atomic.Uint64 // the last one has no upper end
	sum     atomic.Int64                          // nanoseconds
}

// since adds the time that has passed since start.
func (h *histogram) since(start time.Time) { h.add(time.Since(start)) }

func (h *histogram) add(d time.Duration) {
	i := 0
	for i < len(latencyBounds) && d > latencyBounds[i] {
		i++
	}
	h.buckets[i].Add(1)
	h.sum.Add(int64(d))
}

// distribution is a histogram, or several added up, as Prometheus wants it.
type distribution struct {
	count   uint64
	sum     float64            // seconds
	buckets map[float64]uint64 // how many were not above a number of seconds
}

func (c *Counters) latency(pick func(*shard) *histogram) distribution {
	d := distribution{buckets: make(map[float64]uint64, len(latencyBounds))}
	var each [len(latencyBounds) + 1]uint64
	for i := range c.shards {
		h := pick(&c.shards[i])
		for b := range each {
			each[b] += h.buckets[b].Load()
		}
		d.sum += time.Duration(h.sum.Load()).Seconds()
	}
	for b, n := range each {
		d.count += n
		if b < len(latencyBounds) {
			d.buckets[latencyBounds[b].Seconds()] = d.count
		}
	}
	return d
}
