package resolver

import (
	"fmt"
	"testing"

	"domainpark/query"
	"domainpark/telemetry"

	"github.com/miekg/dns"
	"golang.org/x/net/publicsuffix"
)

// classes has one query for each class of answer of DESIGN §3, with the kind
// of answer it must get.
var classes = []struct {
	name  string
	qname string
	qtype uint16
	kind  query.Kind
}{
	{"MX", "example.com", dns.TypeMX, query.KindAnswer},
	{"TXT-SPF", "mail.example.co.uk", dns.TypeTXT, query.KindAnswer},
	{"TXT-DMARC", "_dmarc.example.com", dns.TypeTXT, query.KindAnswer},
	{"TXT-DKIM", "selector1._domainkey.a.b.example.com", dns.TypeTXT, query.KindAnswer},
	{"TXT-BIMI", "default._bimi.example.com", dns.TypeTXT, query.KindAnswer},
	{"CAA", "www.example.com", dns.TypeCAA, query.KindAnswer},
	{"NS", "example.com", dns.TypeNS, query.KindAnswer},
	{"SOA", "example.com", dns.TypeSOA, query.KindAnswer},
	{"NameServer-A", "ns1.park.example", dns.TypeA, query.KindAnswer},
	{"NameServer-AAAA", "ns1.park.example", dns.TypeAAAA, query.KindAnswer},
	{"NODATA-A", "www.example.com", dns.TypeA, query.KindNoData},
	{"NODATA-underscore", "_mta-sts.example.com", dns.TypeTXT, query.KindNoData},
	{"ANY", "example.com", dns.TypeANY, query.KindAnswer},
	{"REFUSED-suffix", "co.uk", dns.TypeTXT, query.KindRefused},
	{"REFUSED-list", "1.2.0.192.in-addr.arpa", dns.TypePTR, query.KindRefused},
	{"deep", "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p._domainkey.q.r.s.t.u.v.w.x.y.z.example.com", dns.TypeTXT, query.KindAnswer},
}

// packed is a question in wire format, with an OPT record as resolvers send it.
func packed(tb testing.TB, name string, qtype uint16) []byte {
	tb.Helper()
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), qtype)
	m.SetEdns0(1232, true)
	wire, err := m.Pack()
	if err != nil {
		tb.Fatal(err)
	}
	return wire
}

// BenchmarkResolve is the whole path of a query, counters included.
func BenchmarkResolve(b *testing.B) {
	r, err := New(testConfig(), nil, telemetry.New().Observe)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range classes {
		b.Run(c.name, func(b *testing.B) {
			q := &query.Query{Message: packed(b, c.qname, c.qtype)}
			buf := make([]byte, 0, maxUDP)
			b.ReportAllocs()
			for b.Loop() {
				r.Resolve(buf, q)
			}
			if q.Kind != c.kind {
				b.Fatalf("kind %s, want %s", q.Kind, c.kind)
			}
		})
	}
}

func TestResolveAllocatesNothing(t *testing.T) {
	cfg := testConfig()
	cfg.Identity = Identity{Version: "v", ID: "id"}
	r, err := New(cfg, nil, telemetry.New().Observe)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range classes {
		for tr := range query.Transports {
			q := &query.Query{Message: packed(t, c.qname, c.qtype), Transport: tr}
			buf := make([]byte, 0, maxUDP)
			if n := testing.AllocsPerRun(100, func() { r.Resolve(buf, q) }); n != 0 {
				t.Errorf("%s over %s: %v allocations", c.name, tr, n)
			}
			if q.Kind != c.kind {
				t.Errorf("%s: kind %s, want %s", c.name, q.Kind, c.kind)
			}
		}
	}
}

// all are the names in d, in wire format, with what is known about them.
func (d *domains) all() map[string]node {
	byID := map[nodeID]slot{}
	for _, s := range d.slots {
		if s.word != 0 {
			byID[s.id] = s
		}
	}
	names := map[string]node{}
	for _, s := range byID {
		var name []byte
		for of, ok := s, true; ok; of, ok = byID[of.parent] {
			label := d.names[of.id:]
			name = append(name, label[:1+int(label[0])]...)
		}
		names[string(name)+"\x00"] = s.node
	}
	return names
}

// BenchmarkDomains compares one walk for a name with what it replaces.
func BenchmarkDomains(b *testing.B) {
	s := mustNew(b, testConfig()).current.Load()
	const text = "mail.example.co.uk"
	var req request
	q := &query.Query{Message: packed(b, text, dns.TypeTXT)}
	req.parse(q)
	b.Run("locate", func(b *testing.B) {
		for b.Loop() {
			if p := s.locate(name{q.Name, q.Labels[:q.Count]}, -1, &req.spot); p.base != 1 {
				b.Fatal(p)
			}
		}
	})
	b.Run("table", func(b *testing.B) {
		for b.Loop() {
			parent := root
			for i := q.Count - 1; i >= 0; i-- {
				n := s.domains.child(parent, q.Name[q.Labels[i]:])
				if n == nil || n.flags&inner == 0 {
					break
				}
				parent = n.id
			}
		}
	})
	b.Run("map", func(b *testing.B) {
		m := map[string]node{}
		for name, n := range s.domains.all() {
			m[name] = n
		}
		for b.Loop() {
			for i := q.Count - 1; i >= 0; i-- {
				if n, ok := m[string(q.Name[q.Labels[i]:])]; !ok || n.flags&inner == 0 {
					break
				}
			}
		}
	})
	b.Run("x-net-publicsuffix", func(b *testing.B) {
		for b.Loop() {
			if d, err := publicsuffix.EffectiveTLDPlusOne(text); err != nil || d != "example.co.uk" {
				b.Fatal(d, err)
			}
		}
	})
}

// BenchmarkCompile is what a start or a reload costs.
func BenchmarkCompile(b *testing.B) {
	for _, n := range []int{0, 1_000_000} {
		cfg := testConfig()
		for i := range n {
			cfg.Only = append(cfg.Only, fmt.Sprintf("parked-%d.example.com", i))
		}
		b.Run(fmt.Sprintf("only=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				mustNew(b, cfg)
			}
		})
	}
}
