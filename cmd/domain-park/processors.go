package main

import (
	"context"
	"log/slog"
	"os"
	"runtime"
	"runtime/metrics"
	"time"
)

// Go's scheduler has one queue for all that can run, and as many processors as
// there are CPUs. When handshakes fill them while garbage is collected, everybody
// waits behind hundreds of handshakes: also who asks over UDP, and whose thread the
// kernel would let run at once. So, while goroutines wait for long, there are twice
// as many processors as CPUs. Then one is free for who comes back from the kernel,
// which shares the CPUs fairly among threads.
//
// Measured with 5,000 handshakes a second of two clients beside 20,000 idle
// connections, on two CPUs: 99 % of what others ask is answered within 12 to 30 ms
// instead of 40 to 65. Four times as many gain nothing more. It costs while it
// lasts: a new connection takes 10 to 13 % more CPU and an answer over DoQ 16 %,
// since goroutines that wake each other do so across threads; UDP, TCP and DoT
// nothing. Therefore not always.
const (
	spareFactor = 2

	// Goroutines wait for long when one of lateShare waits for more than lateAfter.
	// Sixteen handshakes side by side on one CPU wait for half of that.
	lateAfter = 10 * time.Millisecond
	lateShare = 100
	lateLeast = 10 // a handful says nothing: a CPU was away

	// They do not any more when none of lateShare does for calmAfter, for so
	// many looks one behind another.
	calmAfter = 2 * time.Millisecond
	calmLooks = 10

	processorsTick = time.Second
)

// cpus is how many CPUs this process may use.
func cpus() int { return min(runtime.GOMAXPROCS(0), runtime.NumCPU()) }

// processors sets GOMAXPROCS.
type processors struct {
	raised bool
	calm   int // looks
}

// run looks after the processors until ctx ends. It leaves them alone when
// GOMAXPROCS is set, and when a cgroup gives fewer CPUs than there are: it would
// stop all threads as soon as they have used its share up together.
func (p *processors) run(ctx context.Context) {
	if os.Getenv("GOMAXPROCS") != "" || runtime.GOMAXPROCS(0) != runtime.NumCPU() {
		return
	}
	defer runtime.SetDefaultGOMAXPROCS()
	tick := time.NewTicker(processorsTick)
	defer tick.Stop()
	for before := waits(); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := waits()
		if p.look(now.since(before)) {
			p.set()
			slog.Debug("processors of Go's scheduler", "now", runtime.GOMAXPROCS(0))
		}
		before = now
	}
}

func (p *processors) set() {
	if p.raised {
		runtime.GOMAXPROCS(spareFactor * runtime.NumCPU())
	} else {
		runtime.SetDefaultGOMAXPROCS()
	}
}

// look takes how goroutines waited since the look before, and tells whether that
// changes anything.
func (p *processors) look(w waited) (changed bool) {
	if !p.raised {
		p.raised = w.late >= lateLeast && w.late*lateShare > w.all
		p.calm = 0
		return p.raised
	}
	if w.slow*lateShare > w.all {
		p.calm = 0
		return false
	}
	p.calm++
	p.raised = p.calm < calmLooks
	return !p.raised
}

// waited is how many goroutines waited for a processor: of all that the runtime
// looked at, which is every eighth, those that did for more than calmAfter, and
// for more than lateAfter.
type waited struct{ all, slow, late uint64 }

func (w waited) since(before waited) waited {
	return waited{w.all - before.all, w.slow - before.slow, w.late - before.late}
}

// waits is waited since the program began.
func waits() (w waited) {
	s := []metrics.Sample{{Name: "/sched/latencies:seconds"}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindFloat64Histogram {
		return w // a Go that does not tell
	}
	h := s[0].Value.Float64Histogram()
	for i, n := range h.Counts {
		w.all += n
		if h.Buckets[i] >= calmAfter.Seconds() {
			w.slow += n
		}
		if h.Buckets[i] >= lateAfter.Seconds() {
			w.late += n
		}
	}
	return w
}
