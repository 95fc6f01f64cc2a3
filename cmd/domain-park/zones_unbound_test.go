package main

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/miekg/dns"
)

// TestUnboundResolvesAZone: a resolver that asks for one label after another
// finds what is in a zone, across delegations to another server of ours, which
// it takes to listen on port 53: aliases, wildcards, and what is not there.
func TestUnboundResolvesAZone(t *testing.T) {
	tool(t, "unbound")
	const parent, child = "127.0.0.77", "127.0.0.78"
	for _, addr := range []string{parent, child} {
		l, err := net.Listen("tcp", addr+":53")
		if errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EADDRINUSE) {
			t.Skip(err) // not root, a system without all of 127.0.0.0/8, or with a name server of its own
		}
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
	zoneServer(t, parent, map[string]string{"one.example": `
www    CNAME  web.sub
alias  CNAME  www
inner  A      192.0.2.7
*.w    A      192.0.2.8
*.x    CNAME  inner
d      DNAME  sub
a.b.empty TXT "deep"
sub    NS     ns.sub
ns.sub A      ` + child})
	zoneServer(t, child, map[string]string{"sub.one.example": "web A 192.0.2.9\n*.v TXT \"below the delegation\"\n"})
	resolver := startUnbound(t, fmt.Sprintf(`stub-zone:
  name: one.example
  stub-addr: %s
server:
  do-ip6: no
  qname-minimisation-strict: yes
`, parent))
	for _, c := range []struct {
		name, qtype, rcode string
		answer             []string
	}{
		{"inner.one.example", "A", "NOERROR", []string{"inner.one.example. A 192.0.2.7"}},
		{"alias.one.example", "A", "NOERROR", []string{"alias.one.example. CNAME www.one.example.", "www.one.example. CNAME web.sub.one.example.", "web.sub.one.example. A 192.0.2.9"}},
		{"web.sub.one.example", "A", "NOERROR", []string{"web.sub.one.example. A 192.0.2.9"}},
		{"a.b.v.sub.one.example", "TXT", "NOERROR", []string{`a.b.v.sub.one.example. TXT "below the delegation"`}},
		{"a.b.c.w.one.example", "A", "NOERROR", []string{"a.b.c.w.one.example. A 192.0.2.8"}},
		{"a.x.one.example", "A", "NOERROR", []string{"a.x.one.example. CNAME inner.one.example.", "inner.one.example. A 192.0.2.7"}},
		{"web.d.one.example", "A", "NOERROR", []string{"d.one.example. DNAME sub.one.example.", "web.d.one.example. CNAME web.sub.one.example.", "web.sub.one.example. A 192.0.2.9"}},
		{"a.b.empty.one.example", "TXT", "NOERROR", []string{`a.b.empty.one.example. TXT "deep"`}},
		{"empty.one.example", "TXT", "NOERROR", nil},
		{"no.one.example", "A", "NXDOMAIN", nil},
		{"no.sub.one.example", "A", "NXDOMAIN", nil},
	} {
		m := resolver.ask(c.name, dns.StringToType[c.qtype])
		var got []string
		for _, rr := range m.Answer {
			f := strings.Fields(rr.String())
			got = append(got, strings.Join(append(f[:1], f[3:]...), " "))
		}
		if dns.RcodeToString[m.Rcode] != c.rcode || strings.Join(got, "\n") != strings.Join(c.answer, "\n") {
			t.Errorf("%s %s: %s %q, want %s %q", c.name, c.qtype, dns.RcodeToString[m.Rcode], got, c.rcode, c.answer)
		}
	}
}

// zoneServer runs the program with zones, on port 53 of addr.
func zoneServer(t *testing.T, addr string, zones map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range zones {
		write(t, dir, name+".zone", strings.Replace(zoneHead, "192.0.2.1", addr, 1)+text+"\n")
	}
	start(t, "--config", write(t, t.TempDir(), "settings.yaml", fmt.Sprintf(`
nameservers: [{name: ns1.park.example}]
zones: %q
listen: {udp: ["%[2]s:53"], tcp: ["%[2]s:53"], dot: [], doh: [], doq: [], admin: []}
policy: {trust: [127.0.0.0/8]}
`, dir, addr)))
}
