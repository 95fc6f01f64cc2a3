package policy

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"domainpark/query"
)

// talk lets one client ask evenly, rate times a second.
type talk struct {
	addr string
	rate int
	base string // wire format; empty: example.com
	kind query.Kind
}

// play lets everybody talk for so long and returns how many answers each of
// them was sent.
func play(g *Guard, from time.Time, lasts time.Duration, talks ...talk) []int {
	sent := make([]int, len(talks))
	queries := make([]*query.Query, len(talks))
	next := make([]time.Duration, len(talks))
	for i, t := range talks {
		queries[i] = ask(t.addr, from)
		if t.base != "" {
			queries[i].Base = []byte(t.base)
		}
		if t.kind != query.KindNone {
			queries[i].Kind = t.kind
		}
		next[i] = time.Duration(i) // nobody is always first
	}
	for {
		i := 0
		for k := range next {
			if next[k] < next[i] {
				i = k
			}
		}
		if next[i] >= lasts {
			return sent
		}
		q := queries[i]
		q.Received = from.Add(next[i])
		g.Admit(q)
		g.Cookie(q, nil)
		if g.Limit(q) == Send {
			sent[i]++
		}
		next[i] += time.Second / time.Duration(talks[i].rate)
	}
}

func limited(t testing.TB, change func(*Responses)) *Guard {
	t.Helper()
	r := defaultResponses()
	if change != nil {
		change(&r)
	}
	return newGuard(t, Config{Responses: r})
}

func TestEveryKindOfAnswerHasAClass(t *testing.T) {
	want := map[query.Kind]class{
		query.KindAnswer: classAnswer, query.KindReferral: classAnswer, query.KindChaos: classAnswer, query.KindCookie: classAnswer,
		query.KindNoData: classNoData, query.KindNXDomain: classNoData,
		query.KindNone: classNone, // silence is charged to nobody
	}
	for k := range query.Kinds {
		expect, ok := want[k]
		if !ok {
			expect = classError
		}
		if cl := classOf[k]; cl != expect {
			t.Errorf("%s: class %d, want %d", k, cl, expect)
		}
	}
}

func TestAClientBelowItsRateLosesNothing(t *testing.T) {
	for _, tc := range []struct {
		kind query.Kind
		rate int
	}{
		{query.KindAnswer, 50}, {query.KindNoData, 50}, {query.KindRefused, 10},
		{query.KindAnswer, 49}, {query.KindAnswer, 1}, {query.KindFormErr, 3},
	} {
		for _, addr := range []string{"192.0.2.1", "2001:db8::1"} {
			if got := play(limited(t, nil), start, 30*time.Second, talk{addr, tc.rate, "", tc.kind})[0]; got < 30*tc.rate {
				t.Errorf("%s, %s at %d a second: %d of %d sent", addr, tc.kind, tc.rate, got, 30*tc.rate)
			}
		}
	}
}

func TestAFloodGetsItsAllowance(t *testing.T) {
	for _, tc := range []struct {
		name  string
		talks []talk
		want  int // in ten seconds: the burst, and ten times the rate
	}{
		{"answers to one address", []talk{{"192.0.2.1", 20000, "", query.KindAnswer}}, 550},
		{"one class does not touch another", []talk{
			{"192.0.2.1", 20000, "", query.KindAnswer}, {"192.0.2.1", 20000, "", query.KindNXDomain},
		}, 1100},
		{"NODATA and NXDOMAIN are one class", []talk{
			{"192.0.2.1", 20000, "", query.KindNoData}, {"192.0.2.1", 20000, "", query.KindNXDomain},
		}, 550},
		{"errors, whatever they are", []talk{
			{"192.0.2.1", 20000, "", query.KindRefused}, {"192.0.2.1", 20000, "\x01b\x01c\x00", query.KindFormErr},
		}, 110},
		{"an IPv6 /64", []talk{
			{"2001:db8::1", 20000, "", query.KindAnswer}, {"2001:db8::2", 20000, "", query.KindAnswer},
		}, 550},
	} {
		got := 0
		for _, n := range play(limited(t, nil), start, 10*time.Second, tc.talks...) {
			got += n
		}
		if got < tc.want-2 || got > tc.want {
			t.Errorf("%s: %d sent, want %d", tc.name, got, tc.want)
		}
	}
}

// TestAFloodOfManyBasesMeetsAll: an attacker may name another domain with
// every query.
func TestAFloodOfManyBasesMeetsAll(t *testing.T) {
	g := limited(t, nil)
	sent, q := 0, ask("192.0.2.1", start)
	for i := range 200000 { // 20,000 a second
		q.Received = start.Add(time.Duration(i) * 50 * time.Microsecond)
		binary.BigEndian.PutUint32(q.Base[1:], uint32(i))
		if g.Limit(q) == Send {
			sent++
		}
	}
	if sent < 21990 || sent > 22000 {
		t.Errorf("%d sent in ten seconds, want 2000 and 2000 a second", sent)
	}
}

// TestAFloodSpreadOverANetworkMeetsItsAllowance: growth times as much for each
// level, however many sources there are.
func TestAFloodSpreadOverANetworkMeetsItsAllowance(t *testing.T) {
	for _, tc := range []struct {
		name   string
		source func(r uint32) netip.Addr
		want   int
	}{
		{"one /24", func(r uint32) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(r)}) }, 2200},
		{"one /20", func(r uint32) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 16 + byte(r>>8&15), byte(r)}) }, 8800},
		{"one IPv6 /56", func(r uint32) netip.Addr {
			return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 7: byte(r), 15: byte(r >> 8)})
		}, 2200},
		{"one IPv6 /48", func(r uint32) netip.Addr {
			return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 6: byte(r >> 8), 7: byte(r), 15: byte(r >> 16)})
		}, 8800},
	} {
		g, r := limited(t, nil), rand.New(rand.NewPCG(3, 4))
		sent, q := 0, ask("192.0.2.1", start)
		queries := 500000 / slower // in ten seconds
		for i := range queries {
			q.Received = start.Add(time.Duration(i) * (10 * time.Second / time.Duration(queries)))
			q.Client = netip.AddrPortFrom(tc.source(r.Uint32()), 53)
			if g.Limit(q) == Send {
				sent++
			}
		}
		// What many buckets have in credit when the time is up is paid for
		// and not sent.
		if sent < tc.want*95/100 || sent > tc.want {
			t.Errorf("%s: %d sent in ten seconds, want %d", tc.name, sent, tc.want)
		}
	}
}

// TestABadHostDoesNotSilenceItsNetwork: three hosts flood, which is what
// growth leaves room for, and a fourth asks at the rate it may have.
func TestABadHostDoesNotSilenceItsNetwork(t *testing.T) {
	for _, flood := range [][]talk{
		{{"192.0.2.1", 50000, "", query.KindAnswer}},
		{{"192.0.2.1", 9000, "", query.KindAnswer}, {"192.0.2.2", 7000, "", query.KindAnswer}, {"192.0.2.3", 5000, "", query.KindAnswer}},
		{{"192.0.2.1", 9000, "", query.KindRefused}, {"192.0.2.2", 7000, "", query.KindNoData}, {"192.0.2.3", 5000, "", query.KindAnswer}},
	} {
		honest := []talk{
			{"192.0.2.200", 49, "", query.KindAnswer},
			{"192.0.2.201", 9, "", query.KindRefused},
			{"192.0.3.1", 49, "", query.KindNoData},
			{"198.51.100.1", 49, "", query.KindAnswer},
		}
		const seconds = 10
		sent := play(limited(t, nil), start, seconds*time.Second, append(honest, flood...)...)
		for i, h := range honest {
			if sent[i] < seconds*h.rate {
				t.Errorf("%d floods: %s at %d a second was sent %d of %d", len(flood), h.addr, h.rate, sent[i], seconds*h.rate)
			}
		}
	}
}

// TestOtherDomainsPassAFloodedClient: a resolver whose address is spoofed
// still gets answers for what the flood does not ask for.
func TestOtherDomainsPassAFloodedClient(t *testing.T) {
	sent := play(limited(t, nil), start, 10*time.Second,
		talk{"192.0.2.1", 20000, "", query.KindAnswer},
		talk{"192.0.2.1", 40, "\x05other\x03org\x00", query.KindAnswer})
	if sent[1] != 400 {
		t.Errorf("%d of 400 answers for another domain sent", sent[1])
	}
}

// TestTheNameAskedForHasNoAccount: the base is what counts.
func TestTheNameAskedForHasNoAccount(t *testing.T) {
	g, sent := limited(t, nil), 0
	for i := range 1000 {
		q := ask("192.0.2.1", start)
		q.Name = fmt.Appendf(nil, "\x04%04d\x07example\x03com\x00", i)
		if g.Limit(q) == Send {
			sent++
		}
	}
	if sent != 50 {
		t.Errorf("%d of 1000 different names answered, want 50", sent)
	}
}

func TestEveryNthLimitedAnswerSlips(t *testing.T) {
	for _, tc := range []struct{ slip, want int }{{0, 0}, {1, 950}, {2, 475}, {10, 95}} {
		g := limited(t, func(r *Responses) { r.Slip = tc.slip })
		var got [3]int
		for range 1000 {
			got[g.Limit(ask("192.0.2.1", start))]++
		}
		if got != [3]int{Send: 50, Slip: tc.want, Drop: 950 - tc.want} {
			t.Errorf("slip %d: %d sent, %d slipped, %d dropped", tc.slip, got[Send], got[Slip], got[Drop])
		}
		if n := counter(t, g, "responses_total{class=answer}{outcome=slipped}"); n != uint64(tc.want) {
			t.Errorf("slip %d: the counter says %d", tc.slip, n)
		}
	}
}

func TestDryRunCountsAndSendsAll(t *testing.T) {
	g := limited(t, func(r *Responses) { r.DryRun = true })
	if got := play(g, start, time.Second, talk{"192.0.2.1", 1000, "", query.KindAnswer})[0]; got != 1000 {
		t.Errorf("%d of 1000 sent", got)
	}
	if n := counter(t, g, "responses_total{class=answer}{outcome=spared}"); n < 900 || n > 950 {
		t.Errorf("%d of 1000 would have been limited, want 901 or so", n)
	}
}

func TestWhoCanNotBeSpoofedIsNotLimited(t *testing.T) {
	g := newGuard(t, Config{Responses: defaultResponses(), Trust: prefixes("198.51.100.0/24")})
	valid := mint(g, "192.0.2.1", start)
	for _, tc := range []struct {
		name      string
		addr      string
		transport query.Transport
		option    []byte
		want      int
	}{
		{"UDP", "192.0.2.1", query.UDP, nil, 50},
		{"TCP", "192.0.2.1", query.TCP, nil, 1000},
		{"DoH3", "192.0.2.1", query.DoH3, nil, 1000},
		{"a valid cookie", "192.0.2.1", query.UDP, valid, 1000},
		{"a cookie of somebody else", "192.0.2.2", query.UDP, valid, 50},
		{"a client cookie", "192.0.2.3", query.UDP, valid[:8], 50},
		{"trusted", "198.51.100.1", query.UDP, nil, 1000},
	} {
		sent := 0
		for range 1000 {
			q := ask(tc.addr, start)
			q.Transport = tc.transport
			g.Admit(q)
			g.Cookie(q, tc.option)
			if g.Limit(q) == Send {
				sent++
			}
		}
		if sent != tc.want {
			t.Errorf("%s: %d of 1000 sent, want %d", tc.name, sent, tc.want)
		}
	}
}

func TestLimitsThatAreOffDoNotLimit(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Responses)
		kind   query.Kind
		want   int
	}{
		{"all off", func(r *Responses) { r.Rate, r.Errors, r.All = 0, 0, 0 }, query.KindAnswer, 5000},
		{"only all", func(r *Responses) { r.Rate, r.Errors = 0, 0 }, query.KindAnswer, 2000},
		{"only errors, an answer", func(r *Responses) { r.Rate, r.All = 0, 0 }, query.KindAnswer, 5000},
		{"only errors, an error", func(r *Responses) { r.Rate, r.All = 0, 0 }, query.KindRefused, 10},
		{"only all, errors after answers", func(r *Responses) { r.Rate, r.Errors = 0, 0 }, query.KindNotImp, 2000},
		{"no errors: as any class", func(r *Responses) { r.Errors = 0 }, query.KindRefused, 50},
		{"one a second", func(r *Responses) { r.Rate = 1 }, query.KindAnswer, 1},
	} {
		g, sent := limited(t, tc.change), 0
		for range 5000 {
			q := ask("192.0.2.1", start)
			q.Kind = tc.kind
			if g.Limit(q) == Send {
				sent++
			}
		}
		if sent != tc.want {
			t.Errorf("%s: %d sent, want %d", tc.name, sent, tc.want)
		}
	}
}

// TestTenMillionSpoofedSources: a million packets a second from sources that
// are seen once, and among them a flood to one victim and honest clients. The
// table has a hundredth of the buckets that it would take to remember all.
func TestTenMillionSpoofedSources(t *testing.T) {
	sources := 10_000_000
	if testing.Short() || slower > 1 {
		sources = 500_000 / slower
	}
	g := limited(t, nil)
	r := rand.New(rand.NewPCG(5, 6))
	spoofed, victim := ask("192.0.2.1", start), ask("192.0.2.1", start)
	honest := []*query.Query{
		ask("192.0.2.77", start), // in the victim's /24
		ask("192.0.3.1", start),  // in its /20
		ask("198.51.100.1", start),
		ask("2001:db8::1", start),
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	sent, lost := 0, 0
	for i := range sources {
		now := start.Add(time.Duration(i) * time.Microsecond)
		spoofed.Client = netip.AddrPortFrom(spoof(r), 53)
		spoofed.Received = now
		binary.BigEndian.PutUint32(spoofed.Base[1:], r.Uint32())
		g.Limit(spoofed)
		if i%10 == 0 { // 100,000 a second
			if victim.Received = now; g.Limit(victim) == Send {
				sent++
			}
		}
		if i%25000 == 0 { // 40 a second
			for _, q := range honest {
				if q.Received = now; g.Limit(q) != Send {
					lost++
				}
			}
		}
	}
	runtime.ReadMemStats(&after)
	if lost != 0 {
		t.Errorf("honest clients lost %d answers", lost)
	}
	seconds := float64(sources) / 1e6
	if allowed := int(50 + 50*seconds); sent > allowed || float64(sent) < 0.9*float64(allowed) {
		t.Errorf("the victim was sent %d answers in %gs, allowed are %d", sent, seconds, allowed)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
		t.Errorf("%d bytes were allocated on the way", grown)
	}
	if g.rules.Load().responses.table.evictions() < uint64(sources) {
		t.Error("the table never had to forget: this tests nothing")
	}
}

// spoof is a random unicast address, now and then an IPv6 one.
func spoof(r *rand.Rand) netip.Addr {
	x := r.Uint64()
	if x%8 == 0 {
		var b [16]byte
		binary.BigEndian.PutUint64(b[:], x>>3|1<<61)
		return netip.AddrFrom16(b)
	}
	return netip.AddrFrom4([4]byte{byte(x>>8)%223 + 1, byte(x >> 16), byte(x >> 24), byte(x >> 32)})
}
