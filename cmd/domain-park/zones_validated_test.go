package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// validatedZone is a zone that is signed. DS stands for the record of sub.
const validatedZone = zoneHead + `
www    A      192.0.2.7
alias  CNAME  www
*.w    A      192.0.2.8
*.x    CNAME  www
d      DNAME  deep
a.deep A      192.0.2.9
a.b.empty TXT "deep"
out    CNAME  nothing.w
sub    NS     ns.sub
DS
ns.sub A      192.0.2.1
plain  NS     ns.plain
ns.plain A    192.0.2.1
`

// validated is what a resolver that validates finds in such a zone. open: what
// Opt-Out leaves open, so that it is not secure there.
var validated = []struct {
	name, qtype, rcode string
	answers            int
	secure, open       bool
}{
	{"", "SOA", "NOERROR", 1, true, false},
	{"", "NS", "NOERROR", 1, true, false},
	{"", "DNSKEY", "NOERROR", 1, true, false},
	{"", "MX", "NOERROR", 0, true, false},
	{"www", "A", "NOERROR", 1, true, false},
	{"www", "TXT", "NOERROR", 0, true, false},
	{"alias", "A", "NOERROR", 2, true, false},
	{"alias", "TXT", "NOERROR", 1, true, false},
	{"a.b.c.w", "A", "NOERROR", 1, true, true},
	{"a.b.c.w", "TXT", "NOERROR", 0, true, true},
	{"out", "A", "NOERROR", 2, true, true},
	{"a.x", "A", "NOERROR", 2, true, true},
	{"a.d", "A", "NOERROR", 3, true, false},
	{"b.d", "A", "NXDOMAIN", 2, true, true},
	{"empty", "TXT", "NOERROR", 0, true, false},
	{"b.empty", "A", "NOERROR", 0, true, false},
	{"no", "A", "NXDOMAIN", 0, true, true},
	{"x.no.a.b.empty", "A", "NXDOMAIN", 0, true, true},
	{"sub", "DS", "NOERROR", 1, true, false},
	{"web.sub", "A", "NOERROR", 1, true, false},
	{"no.sub", "A", "NXDOMAIN", 0, true, true},
	{"plain", "DS", "NOERROR", 0, true, true},
	{"web.plain", "A", "NOERROR", 1, false, false},
	{"no.plain", "A", "NXDOMAIN", 0, false, false},
}

// TestUnboundValidatesSignedZones: with the zone's key as its trust anchor,
// Unbound finds all answers secure that can be, and none bogus; it asks for one
// label after another, for the delegated zones as well.
func TestUnboundValidatesSignedZones(t *testing.T) {
	tool(t, "unbound")
	tool(t, "dnssec-signzone")
	dir := t.TempDir()
	port := freePort(t)
	settings := "module-config: \"validator iterator\"\n  qname-minimisation-strict: yes\n  do-ip6: no\n  val-log-level: 2\n"
	stubs := ""
	for how, options := range signedHow {
		name := strings.ToLower(strings.ReplaceAll(how, " ", "-")) + ".example"
		write(t, dir, "plain."+name+".zone", zoneHead+"web A 192.0.2.10\n")
		child := signZone(t, dir, "sub."+name, zoneHead+"web A 192.0.2.11\n", options...)
		rr, err := dns.NewRR(child)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Replace(validatedZone, "\nDS\n", "\n"+rr.(*dns.DNSKEY).ToDS(dns.SHA256).String()+"\n", 1)
		key := signZone(t, dir, name, text, options...)
		settings += fmt.Sprintf("  trust-anchor: %q\n", strings.Join(strings.Fields(key), " "))
		stubs += fmt.Sprintf("stub-zone:\n  name: %s\n  stub-addr: 127.0.0.1@%s\n", name, port)
	}
	start(t, "--config", write(t, t.TempDir(), "settings.yaml", fmt.Sprintf(`
nameservers: [{name: ns1.park.example}]
zones: %q
listen: {udp: ["127.0.0.1:%[2]s"], tcp: ["127.0.0.1:%[2]s"], dot: [], doh: [], doq: [], admin: []}
policy: {trust: [127.0.0.0/8]}
`, dir, port)))
	unbound := startUnbound(t, "server:\n  "+settings+stubs)
	for how := range signedHow {
		zone := strings.ToLower(strings.ReplaceAll(how, " ", "-")) + ".example."
		for _, c := range validated {
			q := new(dns.Msg).SetQuestion(strings.TrimPrefix(c.name+"."+zone, "."), dns.StringToType[c.qtype])
			q.AuthenticatedData = true
			m := unbound.exchange(q)
			secure := c.secure && !(c.open && strings.Contains(how, "Opt-Out"))
			if dns.RcodeToString[m.Rcode] != c.rcode || len(m.Answer) != c.answers || m.AuthenticatedData != secure {
				t.Errorf("%s: %s: secure %t, %s with %d answers; want secure %t, %s with %d", how, q.Question[0].String(),
					m.AuthenticatedData, dns.RcodeToString[m.Rcode], len(m.Answer), secure, c.rcode, c.answers)
			}
		}
	}
	if t.Failed() {
		unbound.stop()
		t.Logf("%s", &unbound.log)
	}
}
