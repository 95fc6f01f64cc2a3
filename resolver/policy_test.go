package resolver

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"time"

	"domainpark/policy"
	"domainpark/query"

	"github.com/miekg/dns"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// guarded is a resolver with a policy, and what became of its queries.
type guarded struct {
	*Resolver
	verdicts [query.Verdicts]int
	kinds    [query.Kinds]int
}

func newGuarded(t *testing.T, cfg policy.Config) *guarded {
	t.Helper()
	guard, err := policy.New(cfg, noon)
	if err != nil {
		t.Fatal(err)
	}
	g := &guarded{}
	g.Resolver, err = New(testConfig(), guard, func(q *query.Query) {
		g.verdicts[q.Verdict]++
		g.kinds[q.Kind]++
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// send asks from client at now; nil is silence.
func (g *guarded) send(t *testing.T, m *dns.Msg, tr query.Transport, client string, now time.Time) *dns.Msg {
	t.Helper()
	wire, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	q := &query.Query{Message: wire, Transport: tr, Client: netip.AddrPortFrom(netip.MustParseAddr(client), 5353), Received: now}
	out := g.Resolve(nil, q)
	if len(out) == 0 {
		return nil
	}
	a := new(dns.Msg)
	if err := a.Unpack(out); err != nil {
		t.Fatal(err)
	}
	return a
}

// question is a query for TXT example.com with an OPT, and a cookie when it is
// not empty; hex digits.
func question(cookie string) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion("example.com.", dns.TypeTXT)
	m.SetEdns0(1232, false)
	if cookie != "" {
		o := m.IsEdns0()
		o.Option = append(o.Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: cookie})
	}
	return m
}

func cookieOf(m *dns.Msg) string {
	if o := m.IsEdns0(); o != nil {
		for _, opt := range o.Option {
			if c, ok := opt.(*dns.EDNS0_COOKIE); ok {
				return c.Cookie
			}
		}
	}
	return ""
}

const clientCookie = "0102030405060708"

func TestCookieIsAnsweredWithACookieThatIsThenValid(t *testing.T) { // RFC 7873 §5.2
	g := newGuarded(t, policy.Config{Cookies: policy.Cookies{Require: true}})
	a := g.send(t, question(clientCookie), query.UDP, "192.0.2.1", noon)
	cookie := cookieOf(a)
	if a.Rcode != dns.RcodeBadCookie || len(a.Answer) != 0 || a.Authoritative || len(cookie) != 48 || !strings.HasPrefix(cookie, clientCookie) {
		t.Fatalf("client cookie alone: %v", a)
	}
	if a := g.send(t, question(cookie), query.UDP, "192.0.2.1", noon.Add(time.Minute)); a.Rcode != 0 || len(a.Answer) != 1 || cookieOf(a) == "" {
		t.Errorf("own cookie: %v", a)
	}
	if a := g.send(t, question(cookie), query.UDP, "192.0.2.2", noon.Add(time.Minute)); a.Rcode != dns.RcodeBadCookie {
		t.Errorf("another client's cookie: %v", a)
	}
	if a := g.send(t, question(clientCookie), query.TCP, "192.0.2.1", noon); a.Rcode != 0 || len(a.Answer) != 1 || cookieOf(a) == "" {
		t.Errorf("over TCP no cookie is demanded: %v", a)
	}
	if a := g.send(t, question(""), query.UDP, "192.0.2.1", noon); !a.Truncated || len(a.Answer) != 0 || a.IsEdns0() == nil {
		t.Errorf("no cookie: %v", a)
	}
}

func TestCookieWithoutAQuestion(t *testing.T) { // RFC 7873 §5.4
	g := newGuarded(t, policy.Config{})
	ask := func(cookie string) *dns.Msg {
		m := question(cookie)
		m.Question = nil
		return g.send(t, m, query.UDP, "192.0.2.1", noon)
	}
	a := ask(clientCookie)
	if a.Rcode != 0 || a.Authoritative || len(a.Question)+len(a.Answer)+len(a.Ns) != 0 || cookieOf(a) == "" {
		t.Errorf("client cookie: %v", a)
	}
	if a := ask(cookieOf(a)); a.Rcode != 0 {
		t.Errorf("valid cookie: %v", a)
	}
	if a := ask(clientCookie + strings.Repeat("00", 16)); a.Rcode != dns.RcodeBadCookie || cookieOf(a) == "" {
		t.Errorf("invalid cookie: %v", a)
	}
	if a := ask(""); a.Rcode != dns.RcodeFormatError || a.IsEdns0() == nil {
		t.Errorf("no cookie: %v", a)
	}
	if g.kinds[query.KindCookie] != 2 || g.verdicts[query.Answered] != 2 || g.verdicts[query.Refused] != 2 {
		t.Errorf("kinds %v, verdicts %v", g.kinds, g.verdicts)
	}
}

func TestMalformedCookieIsAFormatError(t *testing.T) { // RFC 7873 §5.2.2
	g := newGuarded(t, policy.Config{})
	for _, n := range []int{1, 7, 9, 15, 41, 60} {
		a := g.send(t, question(strings.Repeat("ab", n)), query.UDP, "192.0.2.1", noon)
		if a.Rcode != dns.RcodeFormatError || cookieOf(a) != "" || a.IsEdns0() == nil {
			t.Errorf("%d bytes: %v", n, a)
		}
	}
}

func TestLimitedAnswersAreDroppedOrSlipped(t *testing.T) {
	g := newGuarded(t, policy.Config{Responses: policy.Responses{Rate: 5, All: 1000, Slip: 2}})
	slipped := 0
	for range 105 {
		a := g.send(t, question(clientCookie), query.UDP, "192.0.2.1", noon)
		if a == nil {
			continue
		}
		if a.Truncated {
			slipped++
			if len(a.Answer) != 0 || a.Rcode != 0 || a.IsEdns0() == nil || cookieOf(a) == "" || len(a.Question) != 1 {
				t.Fatalf("slipped: %v", a)
			}
		}
	}
	if v := g.verdicts; v[query.Answered] != 5 || v[query.Slipped] != 50 || v[query.Dropped] != 50 || slipped != 50 {
		t.Errorf("verdicts %v, %d seen slipped", v, slipped)
	}
	for _, tr := range []query.Transport{query.TCP, query.DoT, query.DoH, query.DoH3, query.DoQ} {
		if a := g.send(t, question(""), tr, "192.0.2.1", noon); a == nil || len(a.Answer) != 1 {
			t.Errorf("%s was limited: %v", tr, a)
		}
	}
	valid := cookieOf(g.send(t, question(clientCookie), query.TCP, "192.0.2.1", noon))
	if a := g.send(t, question(valid), query.UDP, "192.0.2.1", noon); a == nil || len(a.Answer) != 1 {
		t.Errorf("a valid cookie was limited: %v", a)
	}
}

func TestDeniedAndOverRequestLimitGetNothing(t *testing.T) {
	g := newGuarded(t, policy.Config{Deny: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}, Requests: policy.Requests{Rate: 3}})
	for tr := range query.Transports {
		if a := g.send(t, question(""), tr, "198.51.100.7", noon); a != nil {
			t.Errorf("denied over %s: %v", tr, a)
		}
	}
	got := 0
	for i := range 10 {
		if g.send(t, question(""), query.Transport(i%int(query.Transports)), "192.0.2.1", noon) != nil {
			got++
		}
	}
	// UDP, which asked twice, has an account of its own: three for the others.
	if got != 2+3 || g.verdicts[query.Dropped] != int(query.Transports)+5 {
		t.Errorf("%d answers, verdicts %v", got, g.verdicts)
	}
}

// BenchmarkPolicy is what a query costs with and without everything of policy
// on; the difference is what policy costs.
func BenchmarkPolicy(b *testing.B) {
	cookies := policy.Cookies{Secrets: []string{strings.Repeat("5a", 16)}}
	full := policy.Config{
		Deny:      []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")},
		Requests:  policy.Requests{Rate: 1_000_000_000},
		Responses: policy.Responses{Rate: 1_000_000_000, Errors: 1_000_000_000, All: 1_000_000_000, Slip: 2},
		Cookies:   cookies,
	}
	for _, c := range []struct {
		name   string
		cfg    *policy.Config
		cookie string
	}{{"off", nil, ""}, {"on", &full, ""}, {"on,cookie", &full, clientCookie}} {
		b.Run(c.name, func(b *testing.B) {
			var guard *policy.Guard
			if c.cfg != nil {
				var err error
				if guard, err = policy.New(*c.cfg, noon); err != nil {
					b.Fatal(err)
				}
			}
			r, err := New(testConfig(), guard, nil)
			if err != nil {
				b.Fatal(err)
			}
			wire, err := question(c.cookie).Pack()
			if err != nil {
				b.Fatal(err)
			}
			q := &query.Query{Message: wire, Client: netip.MustParseAddrPort("192.0.2.1:5353"), Received: noon}
			buf := make([]byte, 0, maxUDP)
			b.ReportAllocs()
			for b.Loop() {
				q.Received = q.Received.Add(time.Microsecond)
				r.Resolve(buf, q)
			}
			if q.Verdict != query.Answered {
				b.Fatal(q.Verdict, hex.EncodeToString(q.Message))
			}
		})
	}
}

func TestNameServersAddressesAreForWhoeverProvedHisAddress(t *testing.T) {
	g := newGuarded(t, policy.Config{})
	cfg := testConfig()
	cfg.NameServers[1].Addresses = cfg.NameServers[0].Addresses
	if err := g.Load(cfg); err != nil {
		t.Fatal(err)
	}
	ask := func(cookie string, tr query.Transport) *dns.Msg {
		m := question(cookie)
		m.Question[0].Qtype, m.Question[0].Name = dns.TypeNS, "a.b."
		return g.send(t, m, tr, "192.0.2.1", noon)
	}
	const all = 1 + 2*2 // the OPT, two addresses for each name server
	if a := ask("", query.UDP); a.Truncated || len(a.Answer) != 2 || len(a.Extra) >= all || len(a.Extra) == 1 {
		t.Errorf("no cookie: expected some of the addresses: %v", a)
	}
	if a := ask(cookieOf(ask(clientCookie, query.UDP)), query.UDP); len(a.Answer) != 2 || len(a.Extra) != all {
		t.Errorf("valid cookie: expected all addresses: %v", a)
	}
	if a := ask("", query.TCP); len(a.Answer) != 2 || len(a.Extra) != all {
		t.Errorf("TCP: expected all addresses: %v", a)
	}
}

// TestNSIDDoesNotAmplify: a long identity leaves out of what may be sent to
// somebody else, and every slipped answer is as small as it can be.
func TestNSIDDoesNotAmplify(t *testing.T) {
	cfg := testConfig()
	cfg.Identity.ID = strings.Repeat("x", 160)
	guard, err := policy.New(policy.Config{Responses: policy.Responses{Errors: 1, Slip: 1}}, noon)
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(cfg, guard, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := question(clientCookie)
	m.Question[0].Name = "com."
	m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID})
	wire, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	ask := func(tr query.Transport) (int, query.Verdict) {
		q := &query.Query{Message: wire, Transport: tr, Client: netip.MustParseAddrPort("192.0.2.1:5353"), Received: noon}
		return len(r.Resolve(nil, q)), q.Verdict
	}
	if n, v := ask(query.UDP); n+datagramHeaders > maxAmplification*(len(wire)+datagramHeaders) || v != query.Refused {
		t.Errorf("%d bytes for %d, %s", n, len(wire), v)
	}
	if n, v := ask(query.UDP); n > len(wire)+policy.CookieOptionBytes || v != query.Slipped {
		t.Errorf("slipped: %d bytes for %d, %s", n, len(wire), v)
	}
	if n, v := ask(query.TCP); n < 160 || v != query.Refused {
		t.Errorf("over TCP: %d bytes, %s: the identity is missing", n, v)
	}
}
