package policy

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"domainpark/query"
)

// The cost of each piece of policy and of all of it, on the machine named in
// docs/security.md. Run with -benchtime 300ms -count 5 and take the best.

// everything is a Config with everything on, and lists of thousands of prefixes.
func everything() Config {
	cfg := Config{
		Requests:  Requests{Rate: 1_000_000},
		Responses: defaultResponses(),
		Cookies:   Cookies{Derive: testSecret},
	}
	for i := range 5000 {
		a := netip.AddrFrom4([4]byte{198, byte(i >> 8), byte(i), 0})
		cfg.Deny = append(cfg.Deny, netip.PrefixFrom(a, 24))
		b := netip.AddrFrom4([4]byte{199, byte(i >> 8), byte(i), 0})
		cfg.Trust = append(cfg.Trust, netip.PrefixFrom(b, 24))
	}
	return cfg
}

func benchGuard(b *testing.B, cfg Config) (*Guard, *query.Query) {
	b.Helper()
	b.ReportAllocs()
	return newGuard(b, cfg), &query.Query{
		Client:   netip.MustParseAddrPort("192.0.2.1:53"),
		Base:     []byte("\x07example\x03com\x00"),
		Kind:     query.KindAnswer,
		Received: start,
	}
}

func BenchmarkAdmit(b *testing.B) {
	g, q := benchGuard(b, everything())
	for b.Loop() {
		q.Received = q.Received.Add(time.Millisecond)
		if g.Admit(q) != Admitted {
			b.Fatal("not admitted")
		}
	}
}

func BenchmarkCookie(b *testing.B) {
	g, q := benchGuard(b, everything())
	client := []byte("\x01\x02\x03\x04\x05\x06\x07\x08")
	q.Cookie = query.CookieClient
	valid := g.AppendCookie(nil, q, client)[4:]
	dst := make([]byte, 0, 64)
	for _, bc := range []struct {
		name   string
		option []byte
	}{{"none", nil}, {"mint", client}, {"verify", valid}} {
		b.Run(bc.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				g.Cookie(q, bc.option)
				dst = g.AppendCookie(dst[:0], q, bc.option)
			}
		})
	}
}

// BenchmarkLimit is the response-rate limit alone: for a client below its rate,
// one who asks for a domain for the first time, one who was never met, and one
// who floods. The domains and clients that are new come from a flood of them, so
// that tables are full and nothing that is looked for is in a cache.
func BenchmarkLimit(b *testing.B) {
	client := func(n uint32) netip.AddrPort {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], n)
		return netip.AddrPortFrom(netip.AddrFrom4(a), 53)
	}
	base := []byte("\x08dom00000\x03com\x00")
	for _, bc := range []struct {
		name string
		step time.Duration
		next func(i int, q *query.Query)
	}{
		{"warm", 25 * time.Millisecond, func(int, *query.Query) {}},
		{"cold pair", 100 * time.Microsecond, func(i int, q *query.Query) {
			q.Client = client(0x0a000001 + uint32(i%200)<<8)
			binary.BigEndian.PutUint32(base[4:], uint32(i))
			q.Base = base
		}},
		{"cold client", 100 * time.Microsecond, func(i int, q *query.Query) {
			q.Client = client(rand.Uint32())
		}},
		// 1,000 resolvers that each ask for 200 domains: most pairs are met once a
		// second or less often, and there are more of them than buckets.
		{"resolvers", 10 * time.Microsecond, func(_ int, q *query.Query) {
			r := rand.Uint32()
			q.Client = client(0x0a000001 + r%1000<<8)
			binary.BigEndian.PutUint32(base[4:], r>>16%200)
			q.Base = base
		}},
		{"flood", time.Microsecond, func(int, *query.Query) {}},
	} {
		b.Run(bc.name, func(b *testing.B) {
			g, q := benchGuard(b, everything())
			for i := 0; b.Loop(); i++ {
				q.Received = q.Received.Add(bc.step)
				bc.next(i, q)
				g.Limit(q)
			}
		})
	}
}

// BenchmarkPolicy is what a UDP query pays for all of policy with everything
// on: 200 clients ask forty times a second each, for one domain. Or, cold, for
// clients that were never met.
func BenchmarkPolicy(b *testing.B) {
	client := []byte("\x01\x02\x03\x04\x05\x06\x07\x08")
	for _, bc := range []struct {
		name  string
		state query.CookieState
		step  time.Duration
	}{
		{"no cookie", query.CookieNone, 125 * time.Microsecond},
		{"client cookie", query.CookieClient, 125 * time.Microsecond},
		{"valid cookie", query.CookieValid, 125 * time.Microsecond},
		{"flood", query.CookieNone, time.Microsecond},
		{"cold", query.CookieNone, 100 * time.Microsecond},
	} {
		b.Run(bc.name, func(b *testing.B) {
			g, q := benchGuard(b, everything())
			var clients [200]netip.AddrPort
			var options [200][]byte
			prepare := func() {
				for i := range clients {
					clients[i] = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, byte(i), 1}), 53)
					switch q.Client, q.Cookie = clients[i], query.CookieClient; bc.state {
					case query.CookieClient:
						options[i] = client
					case query.CookieValid:
						options[i] = g.AppendCookie(nil, q, client)[4:]
					}
				}
			}
			prepare()
			dst := make([]byte, 0, 64)
			for i := 0; b.Loop(); i++ {
				if i%(1<<20) == 1<<20-1 {
					prepare() // cookies have become two minutes old
				}
				q.Received = q.Received.Add(bc.step)
				q.Client = clients[i%200]
				if bc.name == "cold" {
					var a [4]byte
					binary.BigEndian.PutUint32(a[:], rand.Uint32()&^(128<<24)) // not the listed ones
					q.Client = netip.AddrPortFrom(netip.AddrFrom4(a), 53)
				}
				g.Admit(q)
				g.Cookie(q, options[i%200])
				dst = g.AppendCookie(dst[:0], q, options[i%200])
				g.Limit(q)
			}
		})
	}
}
