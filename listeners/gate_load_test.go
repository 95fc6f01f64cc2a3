package listeners

import (
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestNoMoreAreAcceptedWhenACrowdWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gateOf(1)
		g.cost, g.crowd = time.Hour, 4
		var log logBuffer
		g.log = slog.New(slog.NewTextHandler(&log, nil))
		hasRoom := func() bool {
			select {
			case <-g.hasRoom():
				return true
			default:
				return false
			}
		}
		var all []*passage
		for i := range byte(5) {
			if !hasRoom() {
				t.Errorf("no room with %d waiting", g.waiting())
			}
			all = append(all, visitorOf(g, i, time.Hour))
			queue(g, all[i])
		}
		for range 2 {
			if hasRoom() {
				t.Error("there is room when four wait")
			}
		}
		if said := log.String(); strings.Count(said, "waiting=4") != 1 || g.waitingNow() != 4 {
			t.Errorf("the log says %q, and %d wait; want four, once", said, g.waitingNow())
		}
		again := g.hasRoom()
		for _, p := range all[:2] {
			select {
			case <-again:
				t.Errorf("there is room with %d waiting", g.waiting())
			default:
			}
			leave(p)
		}
		<-again
		queue(g, visitorOf(g, 6, time.Hour), visitorOf(g, 7, time.Hour), visitorOf(g, 8, time.Hour))
		again = g.hasRoom()
		g.drain()
		<-again
		if !hasRoom() {
			t.Error("a server that stops leaves connections in the kernel")
		}
		for g.inside.n > 0 {
			leave(g.inside.front)
		}
	})
}

// TestOverloadIsComputedForClientsThatWait: handshakes come three times as fast as
// one CPU computes them, and nobody limits what is accepted. What the CPU can do is done, half of
// it at once.
func TestOverloadIsComputedForClientsThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const cost, secs = 200 * time.Microsecond, 5
		const capacity = int64(secs * time.Second / cost)
		g := gateOf(1)
		g.cost = cost
		longest := time.Second + 2*g.lease()
		cpu := make(chan struct{}, 1)
		var done, prompt, other atomic.Int64
		for i := range 3 * capacity {
			time.Sleep(cost / 3)
			came := time.Now()
			go func() {
				p := &passage{gate: g, patience: time.Second, by: came.Add(3 * time.Second),
					network: networkOf(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}))}
				err := p.enter()
				if err == nil {
					cpu <- struct{}{}
					p.began = time.Now() // the goroutines of the test take no turns
					time.Sleep(cost)
					g.leave(p)
					<-cpu
					done.Add(1)
				}
				switch waited := time.Since(came); {
				case err != nil && !errors.Is(err, errTurnedAway):
					other.Add(1)
				case waited > longest:
					t.Errorf("%v after %s", err, waited)
				case err == nil && waited < 100*time.Millisecond:
					prompt.Add(1)
				}
			}()
		}
		time.Sleep(2 * time.Second)
		if other.Load() > 0 || done.Load() < capacity*97/100 || prompt.Load() < capacity/3 {
			t.Errorf("of %d that could be, %d were computed, %d of them within 0.1 s; %d ended otherwise",
				capacity, done.Load(), prompt.Load(), other.Load())
		}
		expectOpen(t, g)
	})
}

func BenchmarkGateOfNobodyElse(b *testing.B) {
	g := newHandshakeGate(slog.New(slog.DiscardHandler))
	defer g.close()
	p := visitorOf(g, 1, time.Second)
	for b.Loop() {
		if p.enter() != nil {
			b.Fatal("turned away")
		}
		g.leave(p)
	}
}
