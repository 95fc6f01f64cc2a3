package policy

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"domainpark/query"
)

// start is when the tests take place.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func defaultResponses() Responses {
	return Responses{Rate: 50, Errors: 10, All: 2000, Slip: 2, IPv4Prefix: 24, IPv6Prefix: 56, Table: 100000}
}

func testSecret(day time.Time) [32]byte {
	return sha256.Sum256([]byte(day.Format(time.RFC3339)))
}

func newGuard(t testing.TB, cfg Config) *Guard {
	t.Helper()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	g, err := New(cfg, start)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// ask is a UDP query from addr that is answered with records of example.com.
func ask(addr string, at time.Time) *query.Query {
	return &query.Query{
		Client:   netip.AddrPortFrom(netip.MustParseAddr(addr), 53),
		Base:     []byte("\x07example\x03com\x00"),
		Kind:     query.KindAnswer,
		Received: at,
	}
}

// counter reads one counter by its name and labels, as "name{label=value}".
func counter(t *testing.T, g *Guard, want string) uint64 {
	t.Helper()
	for _, c := range g.Counters() {
		if counterName(c) == want {
			return c.Value
		}
	}
	t.Fatalf("no counter %s", want)
	return 0
}

func counterName(c Counter) string {
	var b strings.Builder
	b.WriteString(c.Name)
	for i := 0; i < len(c.Labels); i += 2 {
		fmt.Fprintf(&b, "{%s=%s}", c.Labels[i], c.Labels[i+1])
	}
	return b.String()
}

func TestAdmissionFollowsAccessLists(t *testing.T) {
	g := newGuard(t, Config{
		Allow: prefixes("192.0.2.0/24"), Deny: prefixes("192.0.2.128/25"), Trust: prefixes("192.0.2.1/32", "192.0.2.200/32"),
	})
	for _, tc := range []struct {
		client  string
		want    Admission
		trusted bool
	}{
		{"192.0.2.7", Admitted, false},
		{"192.0.2.1", Admitted, true},
		{"192.0.2.129", Denied, false},
		{"192.0.2.200", Denied, true},
		{"198.51.100.1", Denied, false},
	} {
		q := ask(tc.client, start)
		if got := g.Admit(q); got != tc.want || q.Trusted != tc.trusted {
			t.Errorf("%s: %s, trusted %t; want %s, %t", tc.client, got, q.Trusted, tc.want, tc.trusted)
		}
	}
	if n := counter(t, g, "admissions_total{result=denied}"); n != 3 {
		t.Errorf("denied counter is %d, want 3", n)
	}
}

func TestRequestLimitCountsConnectedTransportsTogether(t *testing.T) {
	g := newGuard(t, Config{Requests: Requests{Rate: 12}, Trust: prefixes("198.51.100.0/24")})
	count := func(addr string, at time.Time) (admitted int) {
		for i := range 60 {
			q := ask(addr, at)
			q.Transport = query.TCP + query.Transport(i%int(query.Transports-query.TCP))
			if g.Admit(q) == Admitted {
				admitted++
			}
		}
		return admitted
	}
	for _, tc := range []struct {
		name, addr string
		at         time.Duration
		want       int
	}{
		{"the burst", "192.0.2.1", 0, 12},
		{"a second later", "192.0.2.1", time.Second, 12},
		{"half a second later", "192.0.2.1", 1500 * time.Millisecond, 6},
		{"a neighbour", "192.0.2.2", 0, 12},
		{"an IPv6 host", "2001:db8::1", 0, 12},
		{"another address of its /64", "2001:db8::2", 0, 0},
		{"the next /64", "2001:db8:0:1::1", 0, 12},
		{"somebody trusted", "198.51.100.1", 0, 60},
	} {
		if got := count(tc.addr, start.Add(tc.at)); got != tc.want {
			t.Errorf("%s: %d of 60 admitted, want %d", tc.name, got, tc.want)
		}
	}
}

// TestRequestsWithoutAQueryAreChargedAsQueriesAre: who asks for pages has fewer
// queries, and the other way round.
func TestRequestsWithoutAQueryAreChargedAsQueriesAre(t *testing.T) {
	g := newGuard(t, Config{Requests: Requests{Rate: 12}, Trust: prefixes("198.51.100.0/24")})
	client, trusted := netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("198.51.100.1:1")
	for range 6 {
		q := ask("192.0.2.1", start)
		q.Transport = query.TCP
		g.Admit(q)
	}
	answered := 0
	for range 60 {
		if g.Request(start, client, query.DoH) {
			answered++
		}
		if !g.Request(start, trusted, query.DoH3) {
			t.Fatal("somebody trusted is limited")
		}
	}
	if answered != 6 {
		t.Errorf("%d requests answered, want 6 behind 6 queries", answered)
	}
	if !newGuard(t, Config{}).Request(start, client, query.DoH) {
		t.Error("limited without a limit")
	}
	for _, c := range g.Counters() {
		if want := map[string]uint64{"admitted": 66, "exceeded": 54}; c.Name == namePages && c.Value != want[c.Labels[1]] {
			t.Errorf("%s %v, want %v", c.Labels, c.Value, want)
		}
	}
}

// TestForgedQueriesUseUpNoConnectedTransport: what is spoofed in a client's name
// over UDP costs it nothing over TCP, and the other way round.
func TestForgedQueriesUseUpNoConnectedTransport(t *testing.T) {
	g := newGuard(t, Config{Requests: Requests{Rate: 10}})
	count := func(queries int, transport query.Transport) (admitted int) {
		for range queries {
			q := ask("192.0.2.1", start)
			if q.Transport = transport; g.Admit(q) == Admitted {
				admitted++
			}
		}
		return admitted
	}
	for _, tc := range []struct {
		name      string
		queries   int
		transport query.Transport
		want      int
	}{
		{"forged over UDP", 100, query.UDP, 10},
		{"over TCP", 4, query.TCP, 4},
		{"over DoT", 3, query.DoT, 3},
		{"over DoH", 1, query.DoH, 1},
		{"over DoH3", 1, query.DoH3, 1},
		{"over DoQ, ten in all", 100, query.DoQ, 1},
		{"over TCP, once that is used up", 1, query.TCP, 0},
		{"over UDP, still", 1, query.UDP, 0},
	} {
		if got := count(tc.queries, tc.transport); got != tc.want {
			t.Errorf("%s: %d of %d admitted, want %d", tc.name, got, tc.queries, tc.want)
		}
	}
}

func TestEveryMistakeOfAConfigIsReported(t *testing.T) {
	_, err := New(Config{
		Allow:       []netip.Prefix{{}},
		Requests:    Requests{Rate: -1},
		Responses:   Responses{Rate: -50, IPv4Prefix: 33, IPv6Prefix: 65, Slip: -2, Table: -1},
		Cookies:     Cookies{Secrets: []string{"e5e973e5a6b2a43f48e7dc849e37bfcf", "sesame"}},
		Connections: ConnectionLimits{Age: -time.Second},
	}, start)
	if err == nil {
		t.Fatal("no error")
	}
	want := `requests.rate: -1: expected 0 to 1000000000
requests.burst: -1: expected 0 to 1000000000
responses.rate: -50: expected 0 to 1000000000
responses.slip: -2: expected 0 to 1000000000
responses.ipv4prefix: 33: expected 8 to 32
responses.ipv6prefix: 65: expected 32 to 64
responses.table: -1: expected 1 to 100000000
connections.age: -1s: expected no negative duration
cookies.secret: secret 2 of 2: 6 characters, expected 32 hex digits, as from: openssl rand -hex 16
allow: an invalid prefix: expected an address with a length, such as 192.0.2.0/24`
	if err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}

func TestReloadKeepsWhatDidNotChange(t *testing.T) {
	cfg := Config{Requests: Requests{Rate: 1}, Responses: defaultResponses()}
	g := newGuard(t, cfg)
	q := ask("192.0.2.1", start)
	g.Admit(q)
	option := g.AppendCookie(nil, withCookie(q, query.CookieClient), make([]byte, clientCookieBytes))[4:]

	cfg.Deny = prefixes("198.51.100.0/24")
	if err := g.Reload(cfg, start); err != nil {
		t.Fatal(err)
	}
	if got := g.Admit(q); got != Exceeded {
		t.Errorf("after the reload the query is %s: the bucket was forgotten", got)
	}
	if g.Cookie(q, option); q.Cookie != query.CookieValid {
		t.Errorf("after the reload the cookie is %s", q.Cookie)
	}
	if got := g.Admit(ask("198.51.100.1", start)); got != Denied {
		t.Errorf("after the reload the denied client is %s", got)
	}
	if n := counter(t, g, "admissions_total{result=admitted}"); n != 1 {
		t.Errorf("admitted counter is %d, want 1", n)
	}

	cfg.Requests.Rate = -1
	if err := g.Reload(cfg, start); err == nil {
		t.Error("a rate below zero was taken")
	}
	if got := g.Admit(ask("198.51.100.1", start)); got != Denied {
		t.Errorf("after a reload that failed the denied client is %s", got)
	}
}

func withCookie(q *query.Query, s query.CookieState) *query.Query {
	q.Cookie = s
	return q
}

func TestNothingIsLimitedWithoutSettings(t *testing.T) {
	g := newGuard(t, Config{})
	for range 100000 {
		q := ask("192.0.2.1", start)
		if a, d, l := g.Admit(q), g.Cookie(q, nil), g.Limit(q); a != Admitted || d != NoDemand || l != Send {
			t.Fatalf("%s, %s, %s", a, d, l)
		}
	}
}

// TestAClientWithoutAnAddressIsAClient: nothing panics when a listener could
// not tell who asks; all of those are one client.
func TestAClientWithoutAnAddressIsAClient(t *testing.T) {
	cfg := everyAccount()
	cfg.Connections = ConnectionLimits{PerClient: 1, Handshakes: 1}
	g := newGuard(t, cfg)
	sent := 0
	for range 100 {
		q := ask("192.0.2.1", start)
		q.Client = netip.AddrPort{}
		option := []byte("client56")
		if g.Admit(q) != Admitted {
			t.Fatal("not admitted")
		}
		g.Cookie(q, option)
		if answer := g.AppendCookie(nil, q, option); len(answer) != CookieOptionBytes {
			t.Fatalf("cookie option %x", answer)
		}
		if g.Limit(q) == Send {
			sent++
		}
	}
	if sent != 50 {
		t.Errorf("%d of 100 sent, want 50", sent)
	}
	cs := g.Connections()
	if cs.Open(start, netip.Addr{}, nil) == nil || cs.Open(start, netip.Addr{}, nil) != nil || !cs.Handshake(start, netip.Addr{}) {
		t.Error("connections of nobody are not those of one client")
	}
}

// everyAccount is a Config under which nothing escapes a limit.
func everyAccount() Config {
	return Config{
		Requests:  Requests{Rate: 1000},
		Responses: defaultResponses(),
		Cookies:   Cookies{Derive: testSecret},
		Deny:      prefixes("203.0.113.0/24"),
		Trust:     prefixes("198.51.100.0/24"),
	}
}

func TestAQueryAllocatesNothing(t *testing.T) {
	g := newGuard(t, everyAccount())
	client := []byte("\x01\x02\x03\x04\x05\x06\x07\x08")
	valid := g.AppendCookie(nil, withCookie(ask("192.0.2.1", start), query.CookieClient), client)[4:]
	dst, n := make([]byte, 0, 64), 0
	for _, tc := range []struct {
		name   string
		addr   string
		option []byte
	}{
		{"no cookie", "192.0.2.1", nil},
		{"client cookie", "192.0.2.1", client},
		{"valid cookie", "192.0.2.1", valid},
		{"invalid cookie", "192.0.2.2", valid},
		{"IPv6", "2001:db8::1", client},
		{"trusted", "198.51.100.1", client},
	} {
		q := ask(tc.addr, start)
		allocs := testing.AllocsPerRun(2000, func() {
			n++
			q.Received = q.Received.Add(time.Millisecond)
			q.Base[1] = byte(n) // makes new buckets, and pushes out old ones
			q.Kind = query.Kind(n % int(query.Kinds))
			g.Admit(q)
			g.Cookie(q, tc.option)
			dst = g.AppendCookie(dst[:0], q, tc.option)
			g.Limit(q)
		})
		if allocs != 0 {
			t.Errorf("%s: %g allocations a query", tc.name, allocs)
		}
	}
}

func TestConcurrentUseKeepsTheCountersWhole(t *testing.T) {
	g := newGuard(t, everyAccount())
	const workers, each = 8, 5000
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				at := start.Add(time.Duration(i) * 100 * time.Microsecond)
				q := ask(fmt.Sprintf("192.0.2.%d", i%7), at)
				q.Worker = w
				if i%3 == 0 {
					q.Client = netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(i), byte(i >> 8), byte(w), 1}), 53)
				}
				g.Admit(q)
				g.Cookie(q, nil)
				g.Limit(q)
				if i%1000 == 0 {
					g.Report(at)
					g.Counters()
				}
			}
		})
	}
	wg.Go(func() {
		cfg := everyAccount()
		cfg.Log = slog.New(slog.DiscardHandler)
		for i := range 20 {
			cfg.Responses.Rate = 50 + i%2
			if err := g.Reload(cfg, start); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	sums := make(map[string]uint64)
	for _, c := range g.Counters() {
		sums[c.Name] += c.Value
	}
	for _, name := range []string{nameAdmissions, nameCookies, nameResponses} {
		if sums[name] != workers*each {
			t.Errorf("%s adds up to %d, want %d", name, sums[name], workers*each)
		}
	}
	over := uint64(0)
	for _, c := range g.Counters() {
		if n := counterName(c); strings.HasSuffix(n, "{outcome=slipped}") || strings.HasSuffix(n, "{outcome=dropped}") {
			over += c.Value
		}
	}
	if sums[nameLimited] != over || over == 0 {
		t.Errorf("%d limited by an account, %d slipped or dropped", sums[nameLimited], over)
	}
}

// logged returns a logger and what it wrote, without times.
func logged() (*slog.Logger, *bytes.Buffer) {
	var b bytes.Buffer
	h := slog.NewTextHandler(&b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
	return slog.New(h), &b
}
