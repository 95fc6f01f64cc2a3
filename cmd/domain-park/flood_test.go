//go:build linux

package main

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"domainpark/query"

	"github.com/miekg/dns"
)

// floods are what one liar can do. Allowances are the settings' defaults.
var floods = []struct {
	name   string
	from   func(f *field, i int) netip.Addr
	qname  string // of query %d
	most   int    // answers a second that are not truncated
	crowds bool   // the neighbour can't be told from the flood
}{
	{"one host, names below one domain", (*field).theHost, "n%d.example.com.", 50, false},
	{"one host, errors", (*field).theHost, "n%d.alt.", 10, false},
	{"one host, a domain each time", (*field).theHost, "n%d.com.", 2000, false},
	{"every host of a prefix", func(f *field, i int) netip.Addr { return f.within(f.prefix(), i) }, "n%d.example.com.", 200, true},
	{"every host of a network", func(f *field, i int) netip.Addr { return f.within(f.network(), i) }, "n%d.example.com.", 800, true},
}

func (f *field) theHost(int) netip.Addr { return f.host }

// TestSpoofedFloodIsHeldToItsAllowance floods the server with queries whose
// senders' addresses are lies. Who lives there gets no more than the settings
// allow, while clients who ask for the same domain lose nothing.
func TestSpoofedFloodIsHeldToItsAllowance(t *testing.T) {
	needsSpeed(t)
	expectFloodsHeld(t, loopbackField())
}

// needsSpeed skips a flood under the race detector, which makes it no faster
// than what is allowed: 800 queries a second. .ci/run floods without it.
func needsSpeed(t *testing.T) {
	t.Helper()
	if raceDetector {
		t.Skip("a flood under the race detector is none")
	}
}

func expectFloodsHeld(t *testing.T, on *field) {
	for _, c := range floods {
		t.Run(c.name, func(t *testing.T) {
			f := newFlood(t, on)
			honest := []*honestClient{f.honest(on.stranger)}
			if !c.crowds {
				honest = append(honest, f.honest(on.neighbour))
			}
			ended := make(chan struct{})
			var wg sync.WaitGroup
			for _, h := range honest {
				wg.Go(func() { h.ask(ended) })
			}
			began := time.Now()
			f.run(floodTicks, func(i int) (netip.Addr, []byte) { return c.from(on, i), floodQuery(t, fmt.Sprintf(c.qname, i), "") })
			close(ended)
			wg.Wait()
			honestly := uint64(0)
			for _, h := range honest {
				if h.failed != nil || h.answered < 2 {
					t.Errorf("honest client %s: %d answers, then %v", h.from, h.answered, h.failed)
				}
				honestly += h.answered
			}
			f.settle(honestly)
			allowed := float64(c.most) * (1 + time.Since(began).Seconds()) // a second's worth may be used at once
			whole, truncated, limited := f.whole.Load(), f.truncated.Load(), f.sent-f.whole.Load()
			t.Logf("%d queries in %s: %d answers, %d truncated; honest clients: %d answers", f.sent, time.Since(began).Round(time.Millisecond), whole, truncated, honestly)
			if whole < uint64(c.most) || float64(whole) > allowed || limited == 0 {
				t.Errorf("%d answers arrived, expected %d to %.0f", whole, c.most, allowed)
			}
			// Each of the counters' shards counts to two by itself.
			if want := limited / 2; truncated+64 < want || truncated > want+64 {
				t.Errorf("%d truncated answers arrived, expected half of %d", truncated, limited)
			}
		})
	}
}

// TestUnboundResolvesFromAFloodedPrefix lets a resolver live where the answers
// to a flood go. What it gets over UDP are truncated answers at best, which
// send it to TCP.
func TestUnboundResolvesFromAFloodedPrefix(t *testing.T) {
	needsSpeed(t)
	tool(t, "unbound")
	expectUnboundResolves(t, loopbackField())
}

func expectUnboundResolves(t *testing.T, on *field) {
	f := newFlood(t, on)
	var unbound *daemon
	on.atClients(func() {
		unbound = startUnbound(t, fmt.Sprintf(`server:
  outgoing-interface: %s
  do-ip6: yes
  unknown-server-time-limit: 50
stub-zone:
  name: example.com
  stub-addr: %s@%d
`, on.host, on.server, f.server.Port()))
	})
	const names = 4
	var resolved atomic.Bool
	flooded := make(chan struct{})
	go func() {
		defer close(flooded)
		for i := 0; i < 20*floodTicks && !resolved.Load(); i++ {
			f.run(1, func(i int) (netip.Addr, []byte) {
				return on.within(on.prefix(), i), floodQuery(t, fmt.Sprintf("n%d.example.com.", i), "")
			})
		}
	}()
	defer func() {
		resolved.Store(true)
		<-flooded
	}()
	f.await("a dropped query", func() bool { return f.srv.counters.Snapshot().Ended(query.UDP, query.Dropped) > 0 })
	on.atClients(func() {
		for i := range names {
			resolves(t, unbound, i)
		}
	})
	count := f.srv.counters.Snapshot()
	t.Logf("over TCP: %d queries; over UDP: %d answers, %d truncated, %d dropped", count.Received(query.TCP),
		count.Ended(query.UDP, query.Answered), count.Ended(query.UDP, query.Slipped), count.Ended(query.UDP, query.Dropped))
	if got := count.Ended(query.TCP, query.Answered); got < names/2 {
		t.Errorf("%d names were resolved, %d of them over TCP", names, got)
	}
}

// resolves asks a resolver for a name, up to three times: one that sees five
// queries in a row dropped gives up, once in thirty times. It remembers a
// failure, so the names differ.
func resolves(t *testing.T, r *daemon, i int) {
	t.Helper()
	var m *dns.Msg
	for try := range 3 {
		m = r.ask(fmt.Sprintf("r%d-%d.example.com", i, try), dns.TypeTXT)
		if m.Rcode == dns.RcodeSuccess && len(m.Answer) == 1 && strings.Contains(m.Answer[0].String(), "v=spf1 -all") {
			return
		}
	}
	t.Errorf("got %s", m)
}

// TestFloodsAcrossNamespaces does the same where the liar is another machine,
// as far as the kernel is concerned: his answers really go to somebody else.
func TestFloodsAcrossNamespaces(t *testing.T) {
	needsSpeed(t)
	if os.Getenv("REQUIRE_TOOLS") == "" {
		t.Skip("a long version of TestSpoofedFloodIsHeldToItsAllowance, for REQUIRE_TOOLS=1")
	}
	for _, family := range []string{"IPv4", "IPv6"} {
		t.Run(family, func(t *testing.T) {
			on := namespaces(t, family)
			expectFloodsHeld(t, on)
			t.Run("Unbound", func(t *testing.T) {
				tool(t, "unbound")
				expectUnboundResolves(t, on)
			})
		})
	}
}
