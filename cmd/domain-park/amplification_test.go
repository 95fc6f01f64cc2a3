package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"domainpark/query"

	"github.com/miekg/dns"
)

// maxAmplification is how much larger a datagram of ours may be than the one
// that asked for it, the headers of IPv4 and UDP counted: what fills a line is
// packets, and a reflector is judged by what it adds to them. QUIC has the same
// number for an address that is not validated (RFC 9000 §8.1).
const maxAmplification = 3

// datagramHeaders are IPv4's and UDP's. IPv6's are 20 bytes longer, in both
// directions, so every factor is smaller there.
const datagramHeaders = 20 + 8

// amplificationSettings are an ordinary operator's: two name servers with an
// address of each family, reports of DMARC to one mailbox. Limits are off,
// because they would hide how large an answer is.
const amplificationSettings = `
nameservers:
  - {name: ns1.park.example, addresses: [192.0.2.1, "2001:db8::1"]}
  - {name: ns2.park.example, addresses: [192.0.2.2, "2001:db8::2"]}
parking: {dmarc: {rua: [dmarc@park.example]}}
policy: {responses: {rate: 0, errors: 0, all: 0}}
`

// shortestBase is the domain that makes the most of an answer: the fewer bytes
// are asked, the larger is the factor. No domain in use is as short, but every
// name is parked.
const shortestBase = "a.b."

// everyAnswer has a question for each row of DESIGN §3.
var everyAnswer = []struct {
	what, owner string // owner: in front of the parked domain
	qtype       uint16
	rcode       int
}{
	{"MX", "", dns.TypeMX, dns.RcodeSuccess},
	{"TXT (SPF)", "", dns.TypeTXT, dns.RcodeSuccess},
	{"TXT `_dmarc`", "_dmarc.", dns.TypeTXT, dns.RcodeSuccess},
	{"TXT below `_domainkey`", "x._domainkey.", dns.TypeTXT, dns.RcodeSuccess},
	{"TXT `*._bimi`", "x._bimi.", dns.TypeTXT, dns.RcodeSuccess},
	{"CAA", "", dns.TypeCAA, dns.RcodeSuccess},
	{"NS", "", dns.TypeNS, dns.RcodeSuccess},
	{"SOA", "", dns.TypeSOA, dns.RcodeSuccess},
	{"A of a name server", "ns1.park.example.", dns.TypeA, dns.RcodeSuccess},
	{"AAAA of a name server", "ns1.park.example.", dns.TypeAAAA, dns.RcodeSuccess},
	{"NODATA", "", dns.TypeA, dns.RcodeSuccess},
	{"ANY", "", dns.TypeANY, dns.RcodeSuccess},
	{"REFUSED: the root", ".", dns.TypeNS, dns.RcodeRefused},
	{"REFUSED: a top-level domain", "com.", dns.TypeNS, dns.RcodeRefused},
	{"REFUSED: a name of `parking.refuse`", "x.alt.", dns.TypeA, dns.RcodeRefused},
}

// TestAmplificationOfEveryAnswer asks for each answer as somebody would who
// spoofs his address: over UDP, without and with EDNS, never with a cookie.
// docs/security.md has the list; -update writes it there.
func TestAmplificationOfEveryAnswer(t *testing.T) {
	from := source{Config: write(t, t.TempDir(), "settings.yaml", amplificationSettings)}
	srv, err := from.load()
	if err != nil {
		t.Fatal(err)
	}
	var list strings.Builder
	list.WriteString("| asked for | query → answer, bytes | factor | message alone | with EDNS | factor | message alone | for `a.b`: factor | message alone |\n" +
		"|---|---|---|---|---|---|---|---|---|\n")
	for _, row := range everyAnswer {
		var worst, worstAlone float64
		cells := []string{row.what}
		for _, base := range []string{"example.com.", shortestBase} {
			for _, edns := range []bool{false, true} {
				name := row.owner + base
				if strings.HasSuffix(row.owner, "example.") || row.rcode != dns.RcodeSuccess {
					name = row.owner
				}
				a := amplify(t, srv, name, row.qtype, edns, row.rcode)
				if f := a.factor(); f > maxAmplification {
					t.Errorf("%s %s, EDNS %t: %d bytes for %d, %.2f times as many with headers", dns.Type(row.qtype), name, edns, a.out, a.in, f)
				}
				if base == shortestBase {
					worst, worstAlone = max(worst, a.factor()), max(worstAlone, a.alone())
					continue
				}
				cells = append(cells, fmt.Sprintf("%d → %d", a.in, a.out), fmt.Sprintf("%.2f", a.factor()), fmt.Sprintf("%.2f", a.alone()))
			}
		}
		cells = append(cells, fmt.Sprintf("%.2f", worst), fmt.Sprintf("%.2f", worstAlone))
		fmt.Fprintf(&list, "| %s |\n", strings.Join(cells, " | "))
	}
	inDocument(t, "docs/security.md", "amplification", list.String())
}

// amplification is the sizes of a query and of its answer, without headers.
type amplification struct{ in, out int }

// factor counts headers, alone does not.
func (a amplification) factor() float64 {
	return float64(a.out+datagramHeaders) / float64(a.in+datagramHeaders)
}
func (a amplification) alone() float64 { return float64(a.out) / float64(a.in) }

// amplify asks one question over UDP. The answer must have what was asked for:
// one that is truncated amplifies nothing, and would prove nothing.
func amplify(t *testing.T, srv *server, name string, qtype uint16, edns bool, rcode int) amplification {
	t.Helper()
	m := new(dns.Msg).SetQuestion(name, qtype)
	if edns {
		m.SetEdns0(dns.MaxMsgSize-1, false)
	}
	wire, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	q := &query.Query{Message: wire, Transport: query.UDP, Client: netip.MustParseAddrPort("192.0.2.200:53"), Received: time.Now()}
	answer := srv.resolver.Resolve(nil, q)
	got := new(dns.Msg)
	if err := got.Unpack(answer); err != nil {
		t.Fatalf("%s %s: %v: %x", dns.Type(qtype), name, err, answer)
	}
	if got.Rcode != rcode || got.Truncated || rcode == dns.RcodeSuccess && len(got.Answer)+len(got.Ns) == 0 {
		t.Errorf("%s %s: got\n%s", dns.Type(qtype), name, got)
	}
	return amplification{len(wire), len(answer)}
}

// inDocument compares text with what a document has between two marks, or
// writes it there.
func inDocument(t *testing.T, file, mark, text string) {
	t.Helper()
	file = filepath.Join(root, file)
	document, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- "+mark+": written by -update -->\n", "<!-- "+mark+": end -->\n"
	before, rest, found := strings.Cut(string(document), begin)
	was, after, ended := strings.Cut(rest, end)
	switch {
	case !found || !ended:
		t.Fatalf("%s has no lines %q and %q", file, begin, end)
	case *update:
		if err := os.WriteFile(file, []byte(before+begin+text+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	case was != text:
		t.Errorf("%s: %s is\n%s\nwant, by -update,\n%s", file, mark, was, text)
	}
}
