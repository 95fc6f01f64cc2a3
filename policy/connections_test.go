package policy

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"domainpark/query"
)

// hall opens connections and remembers which had to go.
type hall struct {
	t       *testing.T
	g       *Guard
	mu      sync.Mutex
	evicted []string
}

func newHall(t *testing.T, limits ConnectionLimits, change ...func(*Config)) *hall {
	t.Helper()
	cfg := Config{Connections: limits}
	for _, f := range change {
		f(&cfg)
	}
	return &hall{t: t, g: newGuard(t, cfg)}
}

func (h *hall) open(addr string, at time.Duration) *Connection {
	return h.g.Connections().Open(start.Add(at), netip.MustParseAddr(addr), func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.evicted = append(h.evicted, addr)
	})
}

func (h *hall) wantEvicted(want ...string) {
	h.t.Helper()
	if !slices.Equal(h.evicted, want) {
		h.t.Errorf("evicted %v, want %v", h.evicted, want)
	}
}

func TestTheLongestIdleConnectionMakesRoom(t *testing.T) {
	h := newHall(t, ConnectionLimits{Total: 3})
	a := h.open("192.0.2.1", 0)
	b := h.open("192.0.2.2", time.Second)
	h.open("192.0.2.3", 2*time.Second)
	a.Touch(start.Add(3 * time.Second))
	b.Touch(start.Add(4 * time.Second))

	h.open("192.0.2.4", 5*time.Second)
	h.wantEvicted("192.0.2.3")
	h.open("192.0.2.5", 6*time.Second)
	h.wantEvicted("192.0.2.3", "192.0.2.1")
	b.Touch(start.Add(7 * time.Second))
	h.open("192.0.2.6", 8*time.Second)
	h.wantEvicted("192.0.2.3", "192.0.2.1", "192.0.2.4")

	if n := h.g.Connections().Count(); n != 3 {
		t.Errorf("%d are open, want 3", n)
	}
	a.Close() // it was evicted: counted once
	a.Touch(start.Add(9 * time.Second))
	if n := h.g.Connections().Count(); n != 3 {
		t.Errorf("%d are open after an evicted one was closed, want 3", n)
	}
	if n := counter(t, h.g, "connection_evictions_total"); n != 3 {
		t.Errorf("evictions counter is %d", n)
	}
}

func TestAClientHasItsShareOfConnections(t *testing.T) {
	h := newHall(t, ConnectionLimits{PerClient: 2}, func(c *Config) {
		c.Trust, c.Deny = prefixes("198.51.100.0/24"), prefixes("203.0.113.0/24")
	})
	for _, tc := range []struct {
		addr string
		want bool
	}{
		{"192.0.2.1", true}, {"192.0.2.1", true}, {"192.0.2.1", false},
		{"::ffff:192.0.2.1", false},
		{"192.0.2.2", true},
		{"2001:db8::1", true}, {"2001:db8:0:1::1", true}, {"2001:db8:0:2::1", false}, // one /56
		{"2001:db8:0:100::1", true},
		{"198.51.100.1", true}, {"198.51.100.1", true}, {"198.51.100.1", true},
		{"203.0.113.1", false},
	} {
		if got := h.open(tc.addr, 0) != nil; got != tc.want {
			t.Errorf("%s: opened %t, want %t", tc.addr, got, tc.want)
		}
	}
	for name, want := range map[string]uint64{"opened": 9, "crowded": 3, "denied": 1} {
		if n := counter(t, h.g, "connection_openings_total{result="+name+"}"); n != want {
			t.Errorf("%s counter is %d, want %d", name, n, want)
		}
	}
}

// TestDeniedClientsConnectWhereACMEIsSpoken: whoever validates a name has to
// get through, and gets no answer to a query.
func TestDeniedClientsConnectWhereACMEIsSpoken(t *testing.T) {
	h := newHall(t, ConnectionLimits{PerClient: 1, AdmitDenied: true}, func(c *Config) { c.Allow = prefixes("192.0.2.0/24") })
	if h.open("203.0.113.1", 0) == nil {
		t.Error("refused")
	}
	if h.open("203.0.113.1", 0) != nil {
		t.Error("let in beyond its share")
	}
	q := &query.Query{Client: netip.MustParseAddrPort("203.0.113.1:1"), Transport: query.DoH, Received: start}
	if got := h.g.Admit(q); got != Denied {
		t.Errorf("its query is %s", got)
	}
}

func TestAClosedConnectionMakesRoomForItsClient(t *testing.T) {
	h := newHall(t, ConnectionLimits{PerClient: 1})
	for range 1000 {
		c := h.open("192.0.2.1", 0)
		if c == nil {
			t.Fatal("refused")
		}
		c.Close()
		c.Close()
	}
	if n := h.g.Connections().Count(); n != 0 {
		t.Errorf("%d are open, want 0", n)
	}
	for i := range h.g.connections.shards {
		if n := len(h.g.connections.shards[i].clients); n != 0 {
			t.Errorf("%d clients are remembered without a connection", n)
		}
	}
}

func TestAConnectionEndsByQueriesAndByAge(t *testing.T) {
	for _, tc := range []struct {
		name   string
		limits ConnectionLimits
		every  time.Duration
		want   int // messages until there may be no more; 0: never
	}{
		{"no limits", ConnectionLimits{}, time.Hour, 0},
		{"three queries", ConnectionLimits{Queries: 3}, time.Second, 3},
		{"an hour", ConnectionLimits{Age: time.Hour}, 20 * time.Minute, 3},
		{"both, age first", ConnectionLimits{Queries: 10, Age: time.Minute}, 30 * time.Second, 2},
	} {
		h := newHall(t, tc.limits)
		c, got := h.open("192.0.2.1", 0), 0
		for n := 1; n <= 100; n++ {
			if !c.Touch(start.Add(time.Duration(n) * tc.every)) {
				got = n
				break
			}
		}
		if got != tc.want {
			t.Errorf("%s: ends with message %d, want %d", tc.name, got, tc.want)
		}
	}
}

// TestRFC7766IdleTimeShrinksAsConnectionsFill: section 6.2.3.
func TestRFC7766IdleTimeShrinksAsConnectionsFill(t *testing.T) {
	h := newHall(t, ConnectionLimits{Total: 100, Idle: 10 * time.Second})
	idle := map[int]time.Duration{
		0: 10 * time.Second, 50: 10 * time.Second, 75: 5500 * time.Millisecond, 100: time.Second,
	}
	last := 10 * time.Second
	for n := 0; n <= 100; n++ {
		got := h.g.Connections().Idle()
		if got > last || got < time.Second {
			t.Errorf("%d open: idle %s after %s", n, got, last)
		}
		if want, ok := idle[n]; ok && got != want {
			t.Errorf("%d open: idle %s, want %s", n, got, want)
		}
		last = got
		h.open(fmt.Sprintf("192.0.2.%d", n), 0)
	}
	if got := newHall(t, ConnectionLimits{}).g.Connections().Idle(); got != defaultIdle {
		t.Errorf("without a total: idle %s", got)
	}
}

func TestHandshakesOfAClientAreLimited(t *testing.T) {
	h := newHall(t, ConnectionLimits{Handshakes: 50, Resumptions: 500}, func(c *Config) {
		c.Trust = prefixes("198.51.100.0/24")
	})
	cs := h.g.Connections()
	count := func(f func(time.Time, netip.Addr) bool, addr string, at time.Duration) (n int) {
		for range 2000 {
			if f(start.Add(at), netip.MustParseAddr(addr)) {
				n++
			}
		}
		return n
	}
	for _, tc := range []struct {
		name string
		got  int
		want int
	}{
		{"full", count(cs.Handshake, "192.0.2.1", 0), 50},
		{"resumed", count(cs.Resume, "192.0.2.1", 0), 500},
		{"full, half a second later", count(cs.Handshake, "192.0.2.1", time.Second/2), 25},
		{"a neighbour", count(cs.Handshake, "192.0.2.2", 0), 50},
		{"one IPv6 site", count(cs.Handshake, "2001:db8::1", 0), 50},
		{"the same site", count(cs.Handshake, "2001:db8:0:1::1", 0), 0},
		{"trusted", count(cs.Handshake, "198.51.100.1", 0), 2000},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: %d of 2000 let through, want %d", tc.name, tc.got, tc.want)
		}
	}
	if n := counter(t, h.g, "handshakes_total{kind=resumed}{result=refused}"); n != 1500 {
		t.Errorf("refused counter is %d", n)
	}
}

// TestAccountsOfConnectionsStayWhole: random opening, touching and closing from
// many goroutines, over a small total, ends with nothing.
func TestAccountsOfConnectionsStayWhole(t *testing.T) {
	h := newHall(t, ConnectionLimits{Total: 50, PerClient: 10})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(11, uint64(w)))
			var mine []*Connection
			for i := range 3000 {
				at := time.Duration(i) * time.Millisecond
				switch {
				case len(mine) > 0 && r.IntN(3) == 0:
					k := r.IntN(len(mine))
					mine[k].Close()
					mine = slices.Delete(mine, k, k+1)
				case len(mine) > 0 && r.IntN(2) == 0:
					mine[r.IntN(len(mine))].Touch(start.Add(at))
				default:
					if c := h.open(fmt.Sprintf("192.0.2.%d", r.IntN(20)), at); c != nil {
						mine = append(mine, c)
					}
				}
			}
			for _, c := range mine {
				c.Close()
			}
		})
	}
	wg.Wait()
	cs := h.g.Connections()
	if cs.Count() != 0 {
		t.Errorf("%d are open, want 0", cs.Count())
	}
	for i := range cs.shards {
		if s := &cs.shards[i]; len(s.clients) != 0 || s.ring.next != &s.ring {
			t.Errorf("shard %d still has connections", i)
		}
	}
	if len(h.evicted) == 0 {
		t.Error("nothing was evicted: this tests nothing")
	}
}

// TestTwentyThousandIdleConnectionsLeaveRoom: whoever comes gets in, and it is
// the idle ones that pay.
func TestTwentyThousandIdleConnectionsLeaveRoom(t *testing.T) {
	h := newHall(t, ConnectionLimits{Total: 20000, PerClient: 100})
	for i := range 20000 {
		if h.open(fmt.Sprintf("198.18.%d.1", i/100), time.Duration(i)*time.Microsecond) == nil {
			t.Fatalf("connection %d refused", i)
		}
	}
	for i := range 100 {
		at := time.Second + time.Duration(i)*time.Millisecond
		c := h.open(fmt.Sprintf("192.0.2.%d", i), at)
		if c == nil || !c.Touch(start.Add(at)) {
			t.Fatalf("honest client %d refused", i)
		}
	}
	if len(h.evicted) != 100 || slices.ContainsFunc(h.evicted, func(a string) bool { return a != "198.18.0.1" }) {
		t.Errorf("%d evicted, want the hundred of the first address: %v", len(h.evicted), h.evicted)
	}
}

func BenchmarkConnections(b *testing.B) {
	g := newGuard(b, Config{Connections: ConnectionLimits{Total: 20000, PerClient: 20001, Handshakes: 1e9}})
	cs, addr := g.Connections(), netip.MustParseAddr("192.0.2.1")
	conns := make([]*Connection, 10000)
	for i := range conns {
		conns[i] = cs.Open(start, addr, func() {})
	}
	b.Run("touch", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			conns[i%len(conns)].Touch(start.Add(time.Duration(i)))
			i++
		}
	})
	b.Run("open and close", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			cs.Open(start, addr, nil).Close()
		}
	})
	b.Run("handshake", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			cs.Handshake(start, addr)
		}
	})
	for cs.Count() < 20000 {
		cs.Open(start, addr, func() {})
	}
	b.Run("open when full", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			cs.Open(start, addr, func() {})
		}
	})
}
