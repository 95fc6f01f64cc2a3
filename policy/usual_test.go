package policy

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"domainpark/query"
)

// TestTheUsualQueryIsJudgedAsAnyOther: with a list that holds nobody who asks,
// queries take the long way through Admit; both ways give the same.
func TestTheUsualQueryIsJudgedAsAnyOther(t *testing.T) {
	cfg := Config{Requests: Requests{Rate: 40}, Responses: defaultResponses()}
	short := newGuard(t, cfg)
	cfg.Trust = prefixes("198.51.100.0/24")
	long := newGuard(t, cfg)
	if !short.rules.Load().equal || long.rules.Load().equal {
		t.Fatal("the guards go the same way: this tests nothing")
	}
	r := rand.New(rand.NewPCG(13, 14))
	clients := []netip.Addr{
		netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("203.0.113.9"),
		netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2"), {},
	}
	now := start
	for i := range 20_000 {
		now = now.Add(time.Duration(r.IntN(int(8 * time.Millisecond))))
		q := ask("192.0.2.1", now)
		q.Client = netip.AddrPortFrom(clients[r.IntN(len(clients))], 53)
		q.Transport = query.Transport(r.IntN(2))
		q.Kind = query.Kind(r.IntN(int(query.Kinds)))
		q.Trusted = true // left behind by another query
		other := *q
		if a, b := short.Admit(q), long.Admit(&other); a != b || q.Trusted || other.Trusted {
			t.Fatalf("query %d of %s over %s: %s, or %s with a list", i, q.Client, q.Transport, a, b)
		} else if a != Admitted {
			continue
		}
		if a, b := short.Cookie(q, nil), long.Cookie(&other, nil); a != b {
			t.Fatalf("query %d of %s: %s, or %s with a list", i, q.Client, a, b)
		}
		if a, b := short.Limit(q), long.Limit(&other); a != b {
			t.Fatalf("query %d of %s, %s: %s, or %s with a list", i, q.Client, q.Kind, a, b)
		}
	}
	want := long.Counters()
	for i, c := range short.Counters() {
		if c.Value != want[i].Value {
			t.Errorf("%s is %d, or %d with a list", counterName(c), c.Value, want[i].Value)
		}
	}
	for _, name := range []string{"admissions_total{result=admitted}", "admissions_total{result=exceeded}", "responses_total{class=answer}{outcome=sent}"} {
		if counter(t, short, name) == 0 {
			t.Errorf("%s is 0: this tests nothing", name)
		}
	}
}

func TestEveryEndingHasACounter(t *testing.T) {
	seen := make(map[ending]bool)
	for c := range query.CookieStates {
		for cl := range classNone + 1 {
			for o := range outcomes {
				if e := endingOf(c, cl, o); seen[e] {
					t.Errorf("cookie %s, class %d, %s shares a counter", c, cl, outcomeNames[o])
				} else {
					seen[e] = true
				}
			}
		}
	}
}

// TestWhatIsNotAnsweredIsCountedByItsCookie: queries that were admitted are those
// of all states of cookies, also when nothing was sent.
func TestWhatIsNotAnsweredIsCountedByItsCookie(t *testing.T) {
	g := newGuard(t, Config{Responses: defaultResponses()})
	for i, option := range [][]byte{nil, []byte("client56"), make([]byte, 9)} {
		q := ask("192.0.2.1", start)
		q.Kind = query.KindNone
		g.Admit(q)
		g.Cookie(q, option)
		if g.Limit(q) != Send {
			t.Errorf("option %d: limited, though nothing is sent", i)
		}
	}
	for _, name := range []string{"cookies_total{state=none}", "cookies_total{state=client}", "cookies_total{state=malformed}"} {
		if n := counter(t, g, name); n != 1 {
			t.Errorf("%s is %d, want 1", name, n)
		}
	}
	for _, c := range g.Counters() {
		if c.Name == nameResponses && c.Value != 0 {
			t.Errorf("%s is %d, and nothing was sent", counterName(c), c.Value)
		}
	}
}
