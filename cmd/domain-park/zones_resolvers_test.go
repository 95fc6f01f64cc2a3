package main

import (
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/miekg/dns"
)

// Where the servers of a tree listen, all on port 53, where resolvers expect
// those of a delegation.
const (
	rootAddr   = "127.0.0.76"
	parentAddr = "127.0.0.77"
	childAddr  = "127.0.0.78"
)

// TestUnboundResolvesAZone: a resolver that asks for one label after another
// finds what is in a zone, across a delegation to another server of ours:
// aliases, wildcards, and what is not there.
func TestUnboundResolvesAZone(t *testing.T) {
	tool(t, "unbound")
	zoneServers(t)
	expectZones(t, startUnbound(t, fmt.Sprintf(`stub-zone:
  name: one.example
  stub-addr: %s
server:
  do-ip6: no
  qname-minimisation-strict: yes
`, parentAddr)))
}

// TestKnotResolverResolvesAZone goes further up: Knot Resolver begins at the
// root, which NSD serves. ALLOW_LOCAL lets it take glue on the loopback.
func TestKnotResolverResolvesAZone(t *testing.T) {
	tool(t, "kresd")
	zoneServers(t)
	rootServer(t)
	expectZones(t, startKresd(t, fmt.Sprintf(`net.ipv6 = false
option('ALLOW_LOCAL', true)
trust_anchors.remove('.')
modules.load('hints')
hints.root({ ['ns.root.'] = '%s' })
`, rootAddr)))
}

// zoneServers runs two servers of ours, for one.example and for what it delegates.
func zoneServers(t *testing.T) {
	t.Helper()
	for _, addr := range []string{rootAddr, parentAddr, childAddr} {
		l, err := net.Listen("tcp", addr+":53")
		if errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EADDRINUSE) {
			t.Skip(err) // not root, a system without all of 127.0.0.0/8, or with a name server of its own
		}
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
	zoneServer(t, parentAddr, map[string]string{"one.example": `
www    CNAME  web.sub
alias  CNAME  www
inner  A      192.0.2.7
*.w    A      192.0.2.8
*.x    CNAME  inner
d      DNAME  sub
a.b.empty TXT "deep"
sub    NS     ns.sub
ns.sub A      ` + childAddr})
	zoneServer(t, childAddr, map[string]string{"sub.one.example": "web A 192.0.2.9\n*.v TXT \"below the delegation\"\n"})
}

// rootServer runs NSD with a root that delegates one.example.
func rootServer(t *testing.T) {
	t.Helper()
	nsd, dir := tool(t, "nsd"), t.TempDir()
	write(t, dir, "root.zone", fmt.Sprintf(`$TTL 3600
. SOA ns.root. h.root. 1 7200 900 1209600 300
. NS ns.root.
ns.root. A %s
one.example. NS ns.one.example.
ns.one.example. A %s
`, rootAddr, parentAddr))
	conf := fmt.Sprintf(nsdServer, rootAddr+"@53", dir, dir) + "zone:\n\tname: .\n\tzonefile: root.zone\n"
	startPeer(t, "NSD", rootAddr+":53", []string{"."}, exec.Command(nsd, "-d", "-c", write(t, dir, "nsd.conf", conf)))
}

// zoneNames is what resolvers find in the zones.
var zoneNames = []struct {
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
}

// expectZones asks a resolver for zoneNames.
func expectZones(t *testing.T, resolver *daemon) {
	t.Helper()
	for _, c := range zoneNames {
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
