package resolver

import (
	"fmt"
	"runtime"
	"testing"

	"domainpark/query"

	"github.com/miekg/dns"
)

// manyZones are n zones of ten records.
func manyZones(n int) []Zone {
	zones := make([]Zone, n)
	for i := range zones {
		zones[i] = Zone{fmt.Sprintf("zone-%d.example", i), Source{Name: fmt.Sprintf("zone-%d.example.zone", i), Text: []byte(`$TTL 3600
@ SOA ns1 hostmaster 1 7200 900 1209600 300
@ NS ns1
@ NS ns2
@ MX 10 mail
@ TXT "v=spf1 mx -all"
ns1 A 192.0.2.1
ns2 A 192.0.2.2
mail A 192.0.2.3
www CNAME mail
*.w AAAA 2001:db8::1
`)}}
	}
	return zones
}

// BenchmarkZones is a lookup among few and many zones, and what loading costs.
func BenchmarkZones(b *testing.B) {
	for _, n := range []int{1, 1_000, 100_000} {
		cfg := testConfig()
		cfg.Zones = manyZones(n)
		r := mustNew(b, cfg)
		zone := fmt.Sprintf("zone-%d.example", n/2)
		for _, c := range []struct {
			name, qname string
			qtype       uint16
		}{
			{"A", "mail." + zone, dns.TypeA},
			{"MX", zone, dns.TypeMX},
			{"CNAME", "www." + zone, dns.TypeA},
			{"wildcard", "a.b.w." + zone, dns.TypeAAAA},
			{"NXDOMAIN", "a.b.c." + zone, dns.TypeA},
			{"parked", "www.example.com", dns.TypeTXT},
		} {
			b.Run(fmt.Sprintf("%s/zones=%d", c.name, n), func(b *testing.B) {
				q := &query.Query{Message: packed(b, c.qname, c.qtype)}
				buf := make([]byte, 0, maxUDP)
				b.ReportAllocs()
				for b.Loop() {
					r.Resolve(buf, q)
				}
			})
		}
		b.Run(fmt.Sprintf("load/zones=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				mustNew(b, cfg)
			}
		})
		runtime.KeepAlive(r)
	}
}
