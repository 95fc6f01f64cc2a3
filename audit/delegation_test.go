package audit

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"domainpark/query"

	"github.com/miekg/dns"
)

func table(t *testing.T, r *Report) string {
	t.Helper()
	var b strings.Builder
	if err := r.Write(&b, Style{}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestParkedDomainPasses audits a domain that is delegated to this server, from
// the parent zone down, and over each transport.
func TestParkedDomainPasses(t *testing.T) {
	w := newWorld(t)
	w.park()
	r := w.audit(Config{}).Domain(t.Context(), "parked.com")
	golden(t, "parked.txt", table(t, r))
	wire, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "parked.json", string(wire)+"\n")
	for transport := range query.Transports {
		if r := w.audit(Config{Transport: transport}).Domain(t.Context(), "parked.com"); r.Verdict != Pass {
			t.Errorf("%s: %s", transport, table(t, r))
		}
	}
}

// TestPlainDomainFails audits an ordinary domain, in NSD: what it lacks fails,
// what is right passes.
func TestPlainDomainFails(t *testing.T) {
	w := newWorld(t)
	w.startNSD("plain.com", `
$TTL 3600
@      SOA ns1 hostmaster 1 7200 900 1209600 3600
@      NS  ns1
@      NS  ns2
@      A   192.0.2.80
@      MX  10 mail
@      TXT "google-site-verification=x"
ns1    A   127.99.0.3
ns2    A   127.99.0.3
mail   A   192.0.2.25
www    CNAME @
`)
	golden(t, "plain.txt", table(t, w.audit(Config{}).Domain(t.Context(), "plain.com")))
}

// TestDelegationsThatAreWrong has a domain for each mistake, and the rows that
// tell of it.
func TestDelegationsThatAreWrong(t *testing.T) {
	w := newWorld(t)
	w.park()
	w.serve(childIP, authority(parseZone(t, childZones)))
	a := w.audit(Config{})
	for domain, want := range map[string][]string{
		"absent.com": {"fail delegation not delegated: com has no such domain"},
		"a.b.parked.com": {
			"fail delegation not delegated: it is a part of the zone parked.com, without name servers of its own"},
		"bare.com":   {"fail UDP no address of a name server is known"},
		"loop.com":   {"fail UDP no address of a name server is known"},
		"signed.com": {"fail DNSSEC 1 DS records in com, and no key at the domain"},
		"half.com": {
			"fail UDP ns.half.com (127.99.0.9) connection refused",
			"fail TCP ns.half.com (127.99.0.9) connection refused",
			"fail NS they differ: com: ns.half.com, ns1.park.example; ns1.park.example (127.99.0.1), ns2.park.example (127.99.0.2): ns1.park.example, ns2.park.example",
		},
		"moved.com": {
			"fail NS they differ: com: ns.moved.com, ns.other.com; ns.moved.com (127.99.0.4): ns.moved.com, ns.third.com",
			"fail glue ns.moved.com has 127.99.0.4 in com, and 127.99.0.4, 127.99.0.7 in the domain itself",
		},
	} {
		r := a.Domain(t.Context(), domain)
		got := map[string]bool{}
		for _, row := range r.Rows {
			got[fmt.Sprint(row.Verdict, " ", row.Check, " ", row.Found)] = true
		}
		for _, line := range want {
			if !got[line] {
				t.Errorf("no %q in\n%s", line, table(t, r))
			}
		}
	}
}

// tool is the path of a program that the test needs. Where it is missing the
// test is skipped, and fails when REQUIRE_TOOLS is set, as .ci/run does.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
	case os.Getenv("REQUIRE_TOOLS") != "":
		t.Fatalf("%v; .ci/packages lists what to install", err)
	default:
		t.Skip(err)
	}
	return path
}

// startNSD serves a zone from plainIP.
func (w *world) startNSD(zone, text string) {
	w.t.Helper()
	nsd, dir := tool(w.t, "nsd"), w.t.TempDir()
	conf := fmt.Sprintf(`server:
	ip-address: %s@%d
	username: ""
	chroot: ""
	zonesdir: %q
	database: ""
	pidfile: %[4]q
	xfrdfile: %[5]q
	zonelistfile: %[6]q
	logfile: "/dev/stderr"
	server-count: 1
	rrl-ratelimit: 0
remote-control:
	control-enable: no
zone:
	name: %[7]q
	zonefile: "zone"
`, plainIP, w.port, dir, dir+"/pid", dir+"/xfrd", dir+"/zonelist", zone)
	for name, text := range map[string]string{"zone": text, "nsd.conf": conf} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	cmd := exec.Command(nsd, "-d", "-c", dir+"/nsd.conf")
	log, err := cmd.StderrPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	drained := make(chan struct{})
	w.t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		<-drained
		cmd.Wait()
	})
	lines, said := bufio.NewScanner(log), ""
	for lines.Scan() && !strings.Contains(lines.Text(), "nsd started") { // by then its sockets are bound
		said += lines.Text() + "\n"
	}
	go func() {
		defer close(drained)
		io.Copy(io.Discard, log)
	}()
	c := dns.Client{Net: "tcp", Timeout: patience} // NSD answers when it has read its zone
	if _, _, err := c.Exchange(question(zone, dns.TypeSOA, false), net.JoinHostPort(plainIP, fmt.Sprint(w.port))); err != nil {
		w.t.Fatalf("NSD does not answer: %v\n%s", err, said)
	}
}
