package policy

import (
	"encoding/binary"
	"log/slog"
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
		Log:       slog.New(slog.DiscardHandler),
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
	g, err := New(cfg, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	return g, &query.Query{
		Client:   netip.MustParseAddrPort("192.0.2.1:53"),
		Base:     []byte("\x07example\x03com\x00"),
		Kind:     query.KindAnswer,
		Received: time.Now(),
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

// BenchmarkPolicy is what a UDP query pays for all of policy with everything on.
func BenchmarkPolicy(b *testing.B) {
	client := []byte("\x01\x02\x03\x04\x05\x06\x07\x08")
	for _, bc := range []struct {
		name  string
		state query.CookieState
	}{
		{"no cookie", query.CookieNone},
		{"client cookie", query.CookieClient},
		{"valid cookie", query.CookieValid},
	} {
		b.Run(bc.name, func(b *testing.B) {
			g, q := benchGuard(b, everything())
			var option []byte
			switch q.Cookie = query.CookieClient; bc.state {
			case query.CookieClient:
				option = client
			case query.CookieValid:
				option = g.AppendCookie(nil, q, client)[4:]
			}
			dst, i := make([]byte, 0, 64), 0
			for b.Loop() {
				i++
				if i%1000 == 0 { // a cookie would get too old
					q.Received = q.Received.Add(time.Millisecond)
				}
				if i%50 == 0 {
					q.Received = q.Received.Add(time.Microsecond)
				}
				q.Client = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, byte(i >> 16), 2, 1}), 53)
				g.Admit(q)
				g.Cookie(q, option)
				dst = g.AppendCookie(dst[:0], q, option)
				g.Limit(q)
			}
		})
	}
}
