package telemetry

import (
	"sync/atomic"
	"testing"
	"time"

	"domainpark/query"
)

// BenchmarkObserve is what counting costs a query.
func BenchmarkObserve(b *testing.B) {
	c := New()
	q := observed()
	for b.Loop() {
		c.Observe(&q)
	}
}

// BenchmarkObserveInParallel shows that workers do not write to each other's
// cache lines: it costs each no more than BenchmarkObserve.
func BenchmarkObserveInParallel(b *testing.B) {
	c := New()
	var workers atomic.Int32
	b.RunParallel(func(pb *testing.PB) {
		q := observed()
		q.Worker = int(workers.Add(1))
		for pb.Next() {
			c.Observe(&q)
		}
	})
}

// observed is a query as the resolver leaves it.
func observed() query.Query {
	return query.Query{
		Message: make([]byte, 50), Received: time.Now(), Type: 16,
		Kind: query.KindAnswer, Verdict: query.Answered, Size: 100,
	}
}
