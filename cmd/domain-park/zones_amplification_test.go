package main

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"domainpark/query"

	"github.com/miekg/dns"
)

// amplifyingZone is one as many companies have it: two name servers with an
// address of each family, three mail servers, a site.
const amplifyingZone = `$TTL 3600
@ SOA ns1 hostmaster 2026112301 7200 900 1209600 300
@ NS ns1
@ NS ns2
@ MX 10 mx1
@ MX 20 mx2
@ MX 30 mx3
@ A 192.0.2.10
ns1 A 192.0.2.1
ns1 AAAA 2001:db8::1
ns2 A 192.0.2.2
ns2 AAAA 2001:db8::2
mx1 A 192.0.2.3
mx1 AAAA 2001:db8::3
mx2 A 192.0.2.4
mx2 AAAA 2001:db8::4
mx3 A 192.0.2.5
mx3 AAAA 2001:db8::5
www HTTPS 1 . alpn=h3,h2
www A 192.0.2.10
www AAAA 2001:db8::10
_sip._tcp SRV 0 5 5060 mx1
_sip._tcp SRV 1 5 5060 mx2
lab NS ns1.lab
lab NS ns2.lab
ns1.lab A 192.0.2.20
ns1.lab AAAA 2001:db8::20
ns2.lab A 192.0.2.21
ns2.lab AAAA 2001:db8::21
`

// TestAmplificationOfZones measures answers from a zone as
// TestAmplificationOfEveryAnswer does parked ones. What is asked for is sent
// whatever its size; with anything that may be left out, no answer is above
// three times the query. docs/security.md has the list; -update writes it there.
func TestAmplificationOfZones(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "example.com.zone", amplifyingZone)
	srv := loadAmplifying(t, dir)
	var list strings.Builder
	list.WriteString("| asked for | query → answer, bytes | factor | all of it | factor |\n|---|---|---|---|---|\n")
	for _, row := range []struct {
		what, name string
		qtype      uint16
		required   int // how many additional records may not be left out
	}{
		{"A", "example.com.", dns.TypeA, 0},
		{"NS", "example.com.", dns.TypeNS, 0},
		{"MX", "example.com.", dns.TypeMX, 0},
		{"SRV", "_sip._tcp.example.com.", dns.TypeSRV, 0},
		{"HTTPS", "www.example.com.", dns.TypeHTTPS, 0},
		{"NXDOMAIN", "no.example.com.", dns.TypeA, 0},
		{"a referral, with its glue", "www.lab.example.com.", dns.TypeA, 4},
	} {
		m := new(dns.Msg).SetQuestion(row.name, row.qtype).SetEdns0(dns.MaxMsgSize-1, false)
		in, out := zoneAnswer(t, srv, stranger, m)
		_, all := zoneAnswer(t, srv, trusted, m)
		f := amplification{in, out.size}
		if n := len(additionalOf(out.Msg)); n > row.required && f.factor() > maxAmplification || n < row.required || out.Truncated {
			t.Errorf("%s: %d bytes for %d, %.2f times as many, with %d additional records:\n%s", row.what, f.out, f.in, f.factor(), n, out)
		}
		fmt.Fprintf(&list, "| %s | %d → %d | %.2f | %d | %.2f |\n", row.what, in, out.size, f.factor(), all.size, amplification{in, all.size}.factor())
	}
	inDocument(t, "docs/security.md", "zones' amplification", list.String())
}

// TestNothingIsLeftOutOfZonesAnswersButWhatMayBe asks generated zones, signed ones
// as well, as somebody who may be anybody and as somebody who is trusted: answer,
// authority and TC are the same, glue is there, no set is cut, and what else there
// is takes no answer above three times its query.
func TestNothingIsLeftOutOfZonesAnswersButWhatMayBe(t *testing.T) {
	rnd := rand.New(rand.NewPCG(9, 4))
	zones := generateZones(rnd)
	for _, signed := range []bool{unsigned, signed} {
		t.Run(fmt.Sprintf("signed=%t", signed), func(t *testing.T) {
			dir := t.TempDir()
			for name, z := range zones {
				if signed {
					signZone(t, dir, name, z.text())
				} else {
					write(t, dir, name+".zone", z.text())
				}
			}
			srv, asker := loadAmplifying(t, dir), newAsker(rnd, zones)
			less, glue := 0, 0
			for range 20_000 {
				m := asker.next()
				in, own := zoneAnswer(t, srv, stranger, m)
				_, whole := zoneAnswer(t, srv, trusted, m)
				if wrong := wronglyLeftOut(zones, in, own, whole); wrong != "" {
					t.Fatalf("%s, %d bytes for %d:\n%s\ntrusted:\n%s", wrong, own.size, in, own, whole)
				}
				if len(own.Extra) < len(whole.Extra) {
					less++
				}
				if f := (amplification{in, own.size}); f.factor() > maxAmplification && len(additionalOf(own.Msg)) > 0 {
					glue++
				}
			}
			if less == 0 || glue == 0 {
				t.Errorf("%d answers with less additional records, %d with glue above three times the query: the zones do not cover it", less, glue)
			}
			t.Logf("%d answers with less additional records, %d with glue above three times the query", less, glue)
		})
	}
}

// wronglyLeftOut tells what is wrong with an answer to a query of in bytes by
// what was left out of it, or was not; whole is the answer with everything.
func wronglyLeftOut(zones map[string]*generatedZone, in int, own, whole sized) string {
	if own.Truncated != whole.Truncated || own.Rcode != whole.Rcode {
		return "another status"
	}
	for _, s := range [][2][]dns.RR{{own.Answer, whole.Answer}, {own.Ns, whole.Ns}} {
		if !slices.Equal(recordTexts(s[0]), recordTexts(s[1])) {
			return "another answer or authority section"
		}
	}
	extra, all := additionalOf(own.Msg), additionalOf(whole.Msg)
	optional := false
	for _, rr := range all {
		isThere := slices.ContainsFunc(extra, func(o dns.RR) bool { return o.String() == rr.String() })
		hasSet := slices.ContainsFunc(extra, func(o dns.RR) bool {
			return setType(o) == setType(rr) && strings.EqualFold(o.Header().Name, rr.Header().Name)
		})
		switch glue := isGlue(zones, own.Msg, rr.Header().Name); {
		case hasSet && !isThere:
			return "a set without " + rr.String()
		case glue && !isThere:
			return "no glue " + rr.String()
		case isThere && !glue:
			optional = true
		}
	}
	if f := (amplification{in, own.size}); optional && f.factor() > maxAmplification {
		return fmt.Sprintf("%.2f times the query with records that may be left out", f.factor())
	}
	return ""
}

// isGlue tells whether the addresses of a host are glue of a referral: it lies
// below that delegation, or below another one from the same zone (RFC 9471 §2).
func isGlue(zones map[string]*generatedZone, m *dns.Msg, host string) bool {
	for _, rr := range m.Ns {
		if rr.Header().Rrtype != dns.TypeNS {
			continue
		}
		delegated := strings.ToLower(rr.Header().Name)
		if host = strings.ToLower(host); dns.IsSubDomain(delegated, host) {
			return true
		}
		_, above, _ := strings.Cut(delegated, ".") // what is delegated may be a zone of ours, too
		parent := zones[zoneOf(above)]
		if !dns.IsSubDomain(parent.name+".", host) {
			return false
		}
		owner := strings.TrimSuffix(host, "."+parent.name+".")
		return parent.below("x."+owner, "NS") || zoneOf(host) != parent.name
	}
	return false
}

// loadAmplifying loads the zones of dir. Whoever asks gets an answer, however
// often.
func loadAmplifying(t *testing.T, dir string) *server {
	t.Helper()
	settings := "nameservers: [{name: ns1.park.example}]\nzones: " + dir + "\npolicy: {trust: [192.0.2.201/32], responses: {rate: 0, errors: 0, all: 0}}\n"
	srv, err := (&source{Config: write(t, t.TempDir(), "settings.yaml", settings)}).load()
	if err != nil {
		t.Fatal(err)
	}
	return srv
}

// Clients of loadAmplifying.
var (
	stranger = netip.MustParseAddrPort("192.0.2.200:53")
	trusted  = netip.MustParseAddrPort("192.0.2.201:53")
)

// sized is a message and how many bytes it came in.
type sized struct {
	*dns.Msg
	size int
}

// zoneAnswer asks over UDP, and returns the size of the query and the answer.
func zoneAnswer(t *testing.T, srv *server, client netip.AddrPort, m *dns.Msg) (in int, out sized) {
	t.Helper()
	wire, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	answer := srv.resolver.Resolve(nil, &query.Query{Message: wire, Transport: query.UDP, Client: client, Received: time.Now()})
	out = sized{new(dns.Msg), len(answer)}
	if err := out.Unpack(answer); err != nil {
		t.Fatalf("%v: %x", err, answer)
	}
	return len(wire), out
}

// additionalOf are the additional records of m but the OPT record.
func additionalOf(m *dns.Msg) []dns.RR {
	return slices.DeleteFunc(slices.Clone(m.Extra), func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeOPT })
}
