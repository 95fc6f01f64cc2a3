package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"domainpark/query"

	"github.com/miekg/dns"
)

// auditSettings are a server that listens on every transport, on port over UDP
// and TCP.
func auditSettings(t *testing.T, port string, pair keyPair) (file string) {
	t.Helper()
	return write(t, t.TempDir(), "settings.yaml", fmt.Sprintf(`
nameservers: [{name: ns1.park.example}, {name: ns2.park.example}]
listen: {udp: ["127.0.0.1:%[1]s"], tcp: ["127.0.0.1:%[1]s"], dot: ["127.0.0.1:0"], doh: ["127.0.0.1:0"], doq: ["127.0.0.1:0"], admin: []}
tls: {certificates: [{certificate: %[2]q, key: %[3]q}]}
`, port, pair.certificate, pair.key))
}

// TestAuditOverEveryTransport audits a parked domain of a running server. The
// certificate verifies under the authority that is given and the name that it
// has, and not otherwise.
func TestAuditOverEveryTransport(t *testing.T) {
	ca := newAuthority(t)
	srv := start(t, "--config", auditSettings(t, freePort(t), ca.issue(t.TempDir(), 2, testHost)))
	for transport := range query.Transports {
		name := transport.String()
		listens := name
		if transport == query.DoH3 {
			listens = "doh"
		}
		args := []string{"audit", "--server", srv.addr[listens][0], "--transport", name, "example.com"}
		r := execute(t, append(args, "--tls-ca", ca.file, "--tls-name", testHost)...)
		if r.status != 0 || !strings.HasPrefix(r.stdout, "example.com: pass (") || !strings.Contains(r.stdout, "answers over "+name+"\n") {
			t.Errorf("%s: status %d\n%s%s", name, r.status, r.stdout, r.stderr)
		}
		if !transport.Encrypted() {
			continue
		}
		if r := execute(t, append(args, "--strict")...); r.status != auditWarned || !strings.Contains(r.stdout, "warn  certificate ") {
			t.Errorf("%s: not verified: status %d\n%s%s", name, r.status, r.stdout, r.stderr)
		}
	}
}

// TestAuditOfAList audits in the order of the list, each domain once, prints
// JSON, and no escape sequences and no progress where nobody looks.
func TestAuditOfAList(t *testing.T) {
	srv := start(t, "-n", "ns1.park.example", "-n", "ns2.park.example", "--host", "127.0.0.1", "--port", freePort(t))
	list := write(t, t.TempDir(), "list", "# ours\nexample.org\nBÜCHER.example. # umlauts\n\nexample.com\nexample.org\n")
	r := execute(t, "audit", "--json", "--parallel", "2", "--server", srv.addr["udp"][0], "--file", list, "example.net", "example.com")
	if r.status != 0 || r.stderr != "" || strings.Contains(r.stdout, "\x1b") {
		t.Errorf("status %d, stderr %q", r.status, r.stderr)
	}
	var domains []string
	for line := range strings.Lines(r.stdout) {
		var report struct {
			Domain, Verdict string
			Rows            []map[string]string
		}
		if err := json.Unmarshal([]byte(line), &report); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if report.Verdict != "pass" || len(report.Rows) < 20 {
			t.Errorf("%s", line)
		}
		domains = append(domains, report.Domain)
	}
	if want := []string{"example.net", "example.com", "example.org", "xn--bcher-kva.example"}; !slices.Equal(domains, want) {
		t.Errorf("got %q, want %q", domains, want)
	}
	if r := execute(t, "audit", "--brief", "--server", srv.addr["udp"][0], "example.com"); r.status != 0 || r.stdout != "" {
		t.Errorf("--brief: status %d\n%s", r.status, r.stdout)
	}
}

// TestAuditTellsMistakesFromFailures: wrong flags, names and files have a
// status of their own.
func TestAuditTellsMistakesFromFailures(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, ".", "list", "example.com\nnot a domain\n*.example.com\n")
	for args, want := range map[string][]string{
		"audit":                   {"no domain to audit; give them as "},
		"audit --nonsense":        {"unknown flag --nonsense"},
		"audit --transport smoke": {"--transport must be one of "},
		"audit --timeout x":       {"--timeout: "},
		"audit example.com --parallel 0 --timeout 1h":  {"--parallel: found 0", "--timeout: found 1h0m0s"},
		"audit http://example.com me@example.com com":  {`"http://example.com": this is a URL`, `"me@example.com": this is a mail address`, `"com": this is a top-level domain`},
		"audit --file absent":                          {"absent: no such file"},
		"audit --file list":                            {`list:2: "not a domain": this is no domain name`, `list:3: "*.example.com": expected a domain without *`},
		"audit example.com --server 127.0.0.1:x":       {`--server: found the port "x"`},
		"audit example.com --resolver ::1::1":          {`--resolver: found "::1::1"`},
		"audit example.com --tls-ca list --server ::1": {"--tls-ca: list has no certificate"},
	} {
		r := execute(t, strings.Fields(args)...)
		lines := strings.Split(strings.TrimSuffix(r.stderr, "\n"), "\n")
		if r.status != auditNotDone || r.stdout != "" || len(lines) != len(want) {
			t.Errorf("%q: status %d, stdout %q, stderr\n%s", args, r.status, r.stdout, r.stderr)
			continue
		}
		for i := range want {
			if !strings.HasPrefix(lines[i], want[i]) {
				t.Errorf("%q: line %d is %q, expected to begin with %q", args, i+1, lines[i], want[i])
			}
		}
	}
	if r := execute(t, "audit", "--timeout", "200ms", "--server", "127.0.0.1:1", "example.com"); r.status != auditFailed || !strings.HasPrefix(r.stdout, "example.com: fail (") {
		t.Errorf("nobody answers: %+v", r)
	}
}

// TestAuditInterrupted prints what is there and says how much is missing.
func TestAuditInterrupted(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		if !strings.HasSuffix(m.Question[0].Name, "example.org.") {
			w.WriteMsg(new(dns.Msg).SetRcode(m, dns.RcodeRefused))
		}
	})}
	go srv.ActivateAndServe()
	defer srv.Shutdown()
	cmd := program(t, "audit", "--parallel", "1", "--timeout", "1m", "--server", conn.LocalAddr().String(), "--resolver", "127.0.0.1:1", "example.com", "example.org")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), "example.com: fail (") {
		t.Errorf("the first line is %q", lines.Text())
	}
	cmd.Process.Signal(os.Interrupt)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "example.org") {
			t.Errorf("half a report: %q", lines.Text())
		}
	}
	cmd.Wait()
	if want := "interrupted: 1 of 2 domains were audited\n"; cmd.ProcessState.ExitCode() != auditStopped || stderr.String() != want {
		t.Errorf("status %d, %q", cmd.ProcessState.ExitCode(), stderr.String())
	}
}
