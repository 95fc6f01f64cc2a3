package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// tool is the path of a program that the test needs. Where it is missing the
// test is skipped, and fails when REQUIRE_TOOLS is set, as .ci/run does.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
	case os.Getenv("REQUIRE_TOOLS") != "":
		t.Fatalf("%v; .ci/packages and .ci/run tell what to install", err)
	default:
		t.Skip(err)
	}
	return path
}

// mainJob are the questions of a person who tries the server for the first
// time, with the answers of the embedded profile.
var mainJob = []struct {
	qtype, name string
	records     []string
}{
	{"TXT", "example.com", []string{`example.com. 3600 IN TXT "v=spf1 -all"`}},
	{"TXT", "_dmarc.example.co.uk", []string{`_dmarc.example.co.uk. 3600 IN TXT "v=DMARC1; p=reject; sp=reject; np=reject; adkim=s; aspf=s; rua=mailto:r@park.example;"`}},
	{"TXT", "x._domainkey.a.b.example.org", []string{`x._domainkey.a.b.example.org. 3600 IN TXT "v=DKIM1; p="`}},
	{"MX", "example.com", []string{`example.com. 3600 IN MX 0 .`}},
	{"CAA", "example.com", []string{`example.com. 3600 IN CAA 0 issue ";"`, `example.com. 3600 IN CAA 0 issuemail ";"`, `example.com. 3600 IN CAA 0 issuewild ";"`}},
	{"NS", "example.com", []string{`example.com. 86400 IN NS ns1.park.example.`, `example.com. 86400 IN NS ns2.park.example.`}},
	{"SOA", "example.com", []string{`example.com. 3600 IN SOA ns1.park.example. hostmaster.park.example. 1 7200 900 1209600 3600`}},
	{"A", "example.com", []string{`example.com. 3600 IN SOA ns1.park.example. hostmaster.park.example. 1 7200 900 1209600 3600`}},
	{"ANY", "example.com", []string{`example.com. 3600 IN HINFO "RFC8482" ""`}},
}

var mainJobFlags = []string{"-n", "ns1.park.example=192.0.2.1", "-n", "ns2.park.example", "--rua", "r@park.example", "--port", "0"}

func TestDigSeesTheAnswers(t *testing.T) {
	dig := tool(t, "dig")
	askMainJob(t, `flags: qr aa rd;`, func(host, port, transport, qtype, name string) *exec.Cmd {
		return exec.Command(dig, "@"+host, "-p", port, transport, "+tries=1", "+time=10", "+noall", "+comments", "+answer", "+authority", "-t", qtype, name)
	})
}

func TestKdigSeesTheAnswers(t *testing.T) {
	kdig := tool(t, "kdig")
	askMainJob(t, `Flags: qr aa rd;`, func(host, port, transport, qtype, name string) *exec.Cmd {
		return exec.Command(kdig, "@"+host, "-p", port, transport, "+retry=0", "+time=10", "+noall", "+header", "+answer", "+authority", "-t", qtype, name)
	})
}

// askMainJob asks everything over UDP and TCP, IPv4 and IPv6.
func askMainJob(t *testing.T, flags string, command func(host, port, transport, qtype, name string) *exec.Cmd) {
	t.Helper()
	srv := start(t, mainJobFlags...)
	for transport, option := range map[string]string{"udp": "+notcp", "tcp": "+tcp"} {
		if want := 1 + map[bool]int{true: 1}[haveIPv6Loopback()]; len(srv.addr[transport]) != want {
			t.Errorf("%s listens on %q", transport, srv.addr[transport])
		}
		for _, addr := range srv.addr[transport] {
			host, port, err := net.SplitHostPort(addr)
			if err != nil {
				t.Fatal(err)
			}
			for _, q := range mainJob {
				cmd := command(host, port, option, q.qtype, q.name)
				out, err := cmd.CombinedOutput()
				if err != nil || !bytes.Contains(out, []byte("status: NOERROR")) || !bytes.Contains(out, []byte(flags)) || !slices.Equal(recordLines(out), q.records) {
					t.Errorf("%s: %v\n%s\nexpected %s NOERROR and\n%s", cmd, err, out, flags, strings.Join(q.records, "\n"))
				}
			}
		}
	}
}

// recordLines are the records in a tool's output, spaces made one, sorted.
func recordLines(out []byte) []string {
	var records []string
	for line := range strings.Lines(string(out)) {
		if line = strings.Join(strings.Fields(line), " "); line != "" && line[0] != ';' {
			records = append(records, line)
		}
	}
	slices.Sort(records)
	return records
}

// fastSettings limit nobody on this machine.
const fastSettings = `
nameservers: [{name: ns1.park.example, addresses: [192.0.2.1]}, {name: ns2.park.example}]
listen: {udp: ["127.0.0.1:0"], tcp: ["127.0.0.1:0"], dot: [], doh: [], doq: [], admin: []}
policy: {trust: [127.0.0.0/8]}
`

// TestDnsperfLosesNothing sends 100,000 queries at full speed over UDP, and as
// many over 100 TCP connections: each is answered, and none by an error.
func TestDnsperfLosesNothing(t *testing.T) {
	dnsperf := tool(t, "dnsperf")
	const queries = 100_000
	file := queryFile(t, queries)
	settings := write(t, t.TempDir(), "settings.yaml", fastSettings)
	for _, c := range []struct {
		transport string
		args      []string
	}{
		{"udp", []string{"-c", "4"}},
		{"tcp", []string{"-c", "100", "-q", "1000"}},
	} {
		t.Run(c.transport, func(t *testing.T) {
			srv := start(t, "--config", settings)
			host, port, err := net.SplitHostPort(srv.addr[c.transport][0])
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(dnsperf, append(c.args, "-m", c.transport, "-s", host, "-p", port, "-d", file, "-n", "1", "-l", "120")...)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%s: %v\n%s", cmd, err, out)
			}
			for _, want := range []string{
				fmt.Sprintf(`Queries sent: +%d\n`, queries),
				fmt.Sprintf(`Queries completed: +%d \(100\.00%%\)`, queries),
				`Queries lost: +0 `,
				fmt.Sprintf(`Response codes: +NOERROR %d \(100\.00%%\)\n`, queries),
			} {
				if !regexp.MustCompile(want).Match(out) {
					t.Errorf("no %q in the output of %s:\n%s", want, cmd, out)
				}
			}
			t.Logf("%s", regexp.MustCompile(`Queries per second:.*`).Find(out))
			stopsAfter(t, srv, queries)
		})
	}
}

// stopsAfter ends a server, which must have answered so many queries and
// refused none.
func stopsAfter(t *testing.T, srv *running, answered int) {
	t.Helper()
	srv.signal(os.Interrupt)
	if status := srv.end(); status != 0 {
		t.Errorf("status %d", status)
	}
	if want := fmt.Sprintf("msg=stopped answered=%d refused=0", answered); !strings.Contains(srv.log.String(), want) {
		t.Errorf("no %q in\n%s", want, srv.log.String())
	}
}

// queryFile writes questions of every kind of answer as dnsperf reads them.
func queryFile(t *testing.T, n int) string {
	t.Helper()
	var text strings.Builder
	for i := range n {
		q := mainJob[i%len(mainJob)]
		name := strings.Replace(q.name, "example", fmt.Sprintf("parked-%d", i/len(mainJob)), 1)
		fmt.Fprintf(&text, "%s %s\n", name, q.qtype)
	}
	file := filepath.Join(t.TempDir(), "queries")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
