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

func BenchmarkLimit(b *testing.B) {
	b.Run("client below its rate", func(b *testing.B) {
		g, q := benchGuard(b, everything())
		for b.Loop() {
			q.Received = q.Received.Add(25 * time.Millisecond)
			if g.Limit(q) != Send {
				b.Fatal("limited")
			}
		}
	})
	// 1,000 resolvers that each ask for 200 domains: most pairs are met once a
	// second or less often, and there are more of them than buckets.
	b.Run("resolvers", func(b *testing.B) {
		g, q := benchGuard(b, everything())
		base := []byte("\x07dom0000\x03com\x00")
		for b.Loop() {
			r := rand.Uint32()
			q.Received = q.Received.Add(10 * time.Microsecond)
			q.Client = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(r % 250), byte(r >> 8 & 3), 1}), 53)
			binary.BigEndian.PutUint32(base[4:], 0x30303030+r>>16%200)
			q.Base = base
			g.Limit(q)
		}
	})
	b.Run("flood from one", func(b *testing.B) {
		g, q := benchGuard(b, everything())
		for b.Loop() {
			q.Received = q.Received.Add(time.Microsecond)
			g.Limit(q)
		}
	})
	b.Run("spoofed sources", func(b *testing.B) {
		g, q := benchGuard(b, everything())
		for b.Loop() {
			var a [4]byte
			binary.BigEndian.PutUint32(a[:], rand.Uint32())
			q.Received = q.Received.Add(time.Microsecond)
			q.Client = netip.AddrPortFrom(netip.AddrFrom4(a), 53)
			g.Limit(q)
		}
	})
}

// BenchmarkPolicy is what a UDP query pays for all of policy with everything
// on: 200 clients ask forty times a second each, for one domain.
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
				g.Admit(q)
				g.Cookie(q, options[i%200])
				dst = g.AppendCookie(dst[:0], q, options[i%200])
				g.Limit(q)
			}
		})
	}
}
