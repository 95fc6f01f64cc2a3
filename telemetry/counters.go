// Package telemetry is what operators see of a running server. At present it
// counts: every query once, by transport, kind of answer and verdict.
//
// Start at [Counters]. Labels are closed sets, so that no client can make the
// counters grow.
package telemetry

import (
	"runtime"
	"sync/atomic"

	"domainpark/query"
)

// Counters counts queries. It is safe for concurrent use. Each worker writes
// to a shard of its own, so that no cache line is written by two cores for
// every query; Snapshot adds the shards up.
type Counters struct {
	shards []shard
}

// Count is one number for each transport, kind and verdict. The sum of all of
// them is the number of queries received.
type Count [query.Transports][query.Kinds][query.Verdicts]uint64

type shard struct {
	n [query.Transports][query.Kinds][query.Verdicts]atomic.Uint64
	_ [64]byte // keeps the next shard off the last cache line
}

// New returns counters with one shard for each CPU.
func New() *Counters {
	n := 1
	for n < runtime.GOMAXPROCS(0) {
		n *= 2
	}
	return &Counters{shards: make([]shard, n)}
}

// Observe counts q, whose Verdict is final. It allocates nothing and never
// blocks.
func (c *Counters) Observe(q *query.Query) {
	s := &c.shards[q.Worker&(len(c.shards)-1)]
	s.n[q.Transport][q.Kind][q.Verdict].Add(1)
}

// Snapshot returns the counts. Queries that end while it works are in it or
// not.
func (c *Counters) Snapshot() *Count {
	sum := new(Count)
	for i := range c.shards {
		for t := range sum {
			for k := range sum[t] {
				for v := range sum[t][k] {
					sum[t][k][v] += c.shards[i].n[t][k][v].Load()
				}
			}
		}
	}
	return sum
}

// Received is how many queries were counted over t.
func (c *Count) Received(t query.Transport) (n uint64) {
	for k := range c[t] {
		for _, v := range c[t][k] {
			n += v
		}
	}
	return n
}

// Ended is how many queries over t ended in v.
func (c *Count) Ended(t query.Transport, v query.Verdict) (n uint64) {
	for k := range c[t] {
		n += c[t][k][v]
	}
	return n
}
