package telemetry

import (
	"sync"
	"testing"

	"domainpark/query"
)

func TestEveryQueryIsCountedOnce(t *testing.T) {
	c := New()
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			q := query.Query{Worker: worker, Transport: query.Transport(worker % int(query.Transports))}
			for i := range 1000 {
				q.Kind = query.Kind(i % int(query.Kinds))
				q.Verdict = query.Verdict(1 + i%int(query.Verdicts-1))
				c.Observe(&q)
			}
		})
	}
	wg.Wait()
	n := c.Snapshot()
	var received, ended uint64
	for tr := range query.Transports {
		received += n.Received(tr)
		for v := range query.Verdicts {
			ended += n.Ended(tr, v)
		}
	}
	if received != 8000 || ended != 8000 {
		t.Errorf("received %d, ended %d, want 8000 of each", received, ended)
	}
	if got := n.Received(query.UDP); got != 2000 {
		t.Errorf("received %d over UDP, want 2000: workers 0 and 6", got)
	}
}

func TestObserveAllocatesNothing(t *testing.T) {
	c := New()
	q := observed()
	q.Worker, q.Truncate = -1, true
	if n := testing.AllocsPerRun(3*sampleEvery, func() { c.Observe(&q) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
