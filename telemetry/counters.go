package telemetry

import (
	"sync/atomic"

	"domainpark/query"
)

// shards is how many copies of the counters there are: a power of two, above
// the number of workers that the machines have which this will run on.
const shards = 64

// Counters counts queries. It is safe for concurrent use. Each worker writes
// to a shard of its own, so that no cache line is written by two cores for
// every query; whoever reads adds the shards up.
type Counters struct {
	shards [shards]shard
}

// Count is one number for each transport, kind and verdict. The sum of all of
// them is the number of queries received.
type Count [query.Transports][query.Kinds][query.Verdicts]uint64

// shard is what one worker counts, by transport.
type shard struct {
	ended [query.Transports][query.Kinds][query.Verdicts]atomic.Uint64
	more  [query.Transports]struct {
		types     [typeClasses]atomic.Uint64    // queries
		rcodes    [rcodeOther + 1]atomic.Uint64 // answers
		truncated atomic.Uint64                 // answers
		received  atomic.Uint64                 // bytes of queries
		sent      atomic.Uint64                 // bytes of answers
	}
	latency [query.Transports]histogram
	_       [128]byte // keeps the next shard off the last cache line, and off the one fetched with it
}

// New returns counters that stand at zero.
func New() *Counters { return new(Counters) }

// sampleEvery is how many queries of a transport, kind and verdict share one
// measurement of latency, for each worker: a clock read costs 40 ns, more than
// all of the counting.
const sampleEvery = 64

// Observe counts q, whose Verdict is final. It allocates nothing and never
// blocks. It costs 12 ns (BenchmarkObserve).
func (c *Counters) Observe(q *query.Query) {
	s := &c.shards[uint(q.Worker)%shards]
	nth := s.ended[q.Transport][q.Kind][q.Verdict].Add(1)
	m := &s.more[q.Transport]
	m.types[typeOf(q.Type)].Add(1)
	m.received.Add(uint64(len(q.Message)))
	if q.Size > 0 {
		m.rcodes[rcodeOf(q.Rcode)].Add(1)
		m.sent.Add(uint64(q.Size))
		if q.Truncate {
			m.truncated.Add(1)
		}
	}
	if nth%sampleEvery == 1 { // the first, too: a transport that is hardly used is seen
		s.latency[q.Transport].since(q.Received)
	}
}

// Snapshot returns the counts. Queries that end while it works are in it or
// not.
func (c *Counters) Snapshot() *Count {
	sum := new(Count)
	for i := range c.shards {
		for t := range sum {
			for k := range sum[t] {
				for v := range sum[t][k] {
					sum[t][k][v] += c.shards[i].ended[t][k][v].Load()
				}
			}
		}
	}
	return sum
}

// Received is how many queries were counted over t.
func (c *Count) Received(t query.Transport) (n uint64) {
	for v := range query.Verdicts {
		n += c.Ended(t, v)
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

// answered is how many queries over t got an answer of kind k, or would have.
func (c *Count) answered(t query.Transport, k query.Kind) (n uint64) {
	for _, m := range c[t][k] {
		n += m
	}
	return n
}
