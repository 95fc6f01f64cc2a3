package listeners

import (
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"domainpark/query"
)

// gateOf is a gate with so many places, one a CPU, whose bell makes no sound: who leaves
// lets in the next.
func gateOf(places int) *handshakeGate {
	g := newHandshakeGate(slog.New(slog.DiscardHandler))
	g.cpus = places
	g.close()
	return g
}

// visitorOf is a passage through g for a client of a network, which has so much patience.
func visitorOf(g *handshakeGate, network byte, patience time.Duration) *passage {
	addr := netip.AddrFrom4([4]byte{192, 0, network, 1})
	return &passage{gate: g, transport: query.DoT, network: networkOf(addr), patience: patience, by: time.Now().Add(3 * patience)}
}

// queue has passages wait one after the other, and returns what tells who was let in.
func queue(g *handshakeGate, passages ...*passage) (entered func() []int) {
	var mu sync.Mutex
	var order []int
	for i, p := range passages {
		go func() {
			if p.enter() == nil {
				mu.Lock()
				defer mu.Unlock()
				order = append(order, i)
			}
		}()
		synctest.Wait()
	}
	return func() []int {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(order)
	}
}

// leave has p leave, and whoever is next enter.
func leave(p *passage) {
	p.gate.leave(p)
	synctest.Wait()
}

func expectOrder(t *testing.T, what string, got []int, want ...int) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v were let in, want %v", what, got, want)
	}
}

// expectOpen looks whether all places are free and nobody waits.
func expectOpen(t *testing.T, g *handshakeGate) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside.n != 0 || g.waiting() != 0 || len(g.ahead) != 0 || g.room != nil {
		t.Errorf("%d have a place, %d wait, from %d networks, and more are accepted: %v; want none, and true", g.inside.n, g.waiting(), len(g.ahead), g.room == nil)
	}
}

func TestGateLetsInAsManyAsThereArePlacesForInTheOrderOfTheirComing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gateOf(2)
		g.cost = time.Hour // no lease ends
		var all []*passage
		for i := range byte(5) {
			all = append(all, visitorOf(g, i, time.Hour))
		}
		entered := queue(g, all...)
		expectOrder(t, "at first", entered(), 0, 1)
		for i, p := range all {
			leave(p)
			leave(p) // is no second place for anybody
			expectOrder(t, "then", entered(), []int{0, 1, 2, 3, 4}[:min(i+3, 5)]...)
		}
		expectOpen(t, g)
	})
}

func TestGateLetsInOneOfEachNetworkFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gateOf(1)
		g.cost = time.Hour
		all := []*passage{visitorOf(g, 1, time.Hour)} // has the place
		for _, network := range []byte{1, 1, 1, 2, 2, 3} {
			all = append(all, visitorOf(g, network, time.Hour))
		}
		entered := queue(g, all...)
		for _, i := range []int{0, 1, 4, 6, 2, 3, 5} {
			leave(all[i])
		}
		expectOrder(t, "with three networks", entered(), 0, 1, 4, 6, 2, 3, 5)
		expectOpen(t, g)
	})
}

// TestGateLetsInWhoIsBehindOthersOfItsNetwork: also while more networks come than
// are let in.
func TestGateLetsInWhoIsBehindOthersOfItsNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gateOf(1)
		g.cost = time.Hour
		var all []*passage
		for _, network := range []byte{0, 1, 1, 1, 2, 3, 4, 5, 6} { // the first has the place
			all = append(all, visitorOf(g, network, time.Hour))
		}
		entered := queue(g, all...)
		for _, i := range []int{0, 1, 4, 5, 2, 6, 7, 8, 3} {
			leave(all[i])
		}
		expectOrder(t, "with six networks", entered(), 0, 1, 4, 5, 2, 6, 7, 8, 3)
		expectOpen(t, g)
	})
}

func TestGateLetsInTheLastAsWellWhenTheFirstHasWaitedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gateOf(1)
		g.cost = time.Hour
		var all []*passage
		for i := range byte(6) {
			all = append(all, visitorOf(g, i, time.Second))
		}
		entered := queue(g, all...)
		time.Sleep(500 * time.Millisecond)
		for _, i := range []int{0, 5, 1, 4, 2, 3} {
			leave(all[i])
		}
		expectOrder(t, "half of a second later", entered(), 0, 5, 1, 4, 2, 3)
		expectOpen(t, g)
	})
}

func TestAPlaceThatIsNotGivenBackGoesToTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gateOf(1)
		stuck, next, last := visitorOf(g, 1, time.Second), visitorOf(g, 2, time.Second), visitorOf(g, 3, time.Second)
		entered := queue(g, stuck, next, last)
		time.Sleep(g.lease() - 1)
		expectOrder(t, "before the lease ends", entered(), 0)
		time.Sleep(time.Nanosecond)
		expectOrder(t, "when it has ended", entered(), 0, 1)
		leave(stuck) // late, and its place is another's
		expectOrder(t, "when its place is given back", entered(), 0, 1)
		time.Sleep(g.lease())
		expectOrder(t, "when the next lease has ended", entered(), 0, 1, 2)
		leave(next)
		leave(last)
		expectOpen(t, g)
	})
}

func TestWhenTooManyWaitWhoIsBehindOthersOfItsNetworkGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gateOf(1)
		g.cost, g.queued = time.Hour, 3
		networks := []byte{0, 1, 1, 1, 2, 3, 4} // the first has the place
		errs := make([]error, len(networks))
		for i, network := range networks {
			p := visitorOf(g, network, time.Hour)
			go func() { errs[i] = p.enter() }()
			synctest.Wait()
		}
		var away []int
		synctest.Wait()
		for i, err := range errs {
			if err == errTurnedAway {
				away = append(away, i)
			}
		}
		if !slices.Equal(away, []int{1, 2, 3}) {
			t.Errorf("%v were turned away, want 2 and 3, which wait behind 1, and then 1, the oldest", away)
		}
		for range 4 {
			leave(g.inside.front)
		}
		expectOpen(t, g)
	})
}

func TestWhoIsBarredDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gateOf(1)
		g.cost = time.Hour
		inside, waits, late := visitorOf(g, 1, time.Hour), visitorOf(g, 2, time.Hour), visitorOf(g, 3, time.Hour)
		var ways [3]passing
		ways[0].begin(inside)
		if err := ways[0].enter(); err != nil {
			t.Fatal(err)
		}
		ways[1].begin(waits)
		told := make(chan error, 1)
		go func() { told <- ways[1].enter() }()
		synctest.Wait()
		ways[1].bar()
		if err := <-told; err != errBarred {
			t.Errorf("who waits hears %v", err)
		}
		ways[2].bar()
		ways[2].begin(late)
		if err := ways[2].enter(); err != errBarred {
			t.Errorf("who was barred before hears %v", err)
		}
		ways[0].bar() // which has a place
		if err := inside.enter(); err != errBarred {
			t.Errorf("who is barred and asks again hears %v", err)
		}
		for i := range ways {
			ways[i].end()
		}
		expectOpen(t, g)
	})
}
