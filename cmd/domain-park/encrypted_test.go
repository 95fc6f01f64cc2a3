package main

import (
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

const testHost = "ns1.park.example"

// startEncrypted runs a server on every encrypted transport, with one
// certificate for testHost.
func startEncrypted(t *testing.T, ca *authority) *running {
	t.Helper()
	return start(t, "--config", encryptedSettings(t, encryptedListen+"\n"+patientTimeouts+"\n", ca.issue(t.TempDir(), 2, testHost)))
}

// portOf is the port that a transport is listened on.
func (r *running) portOf(transport string) string {
	r.t.Helper()
	if len(r.addr[transport]) == 0 {
		r.t.Fatalf("no %s in\n%s", transport, r.log.String())
	}
	_, port, err := net.SplitHostPort(r.addr[transport][0])
	if err != nil {
		r.t.Fatal(err)
	}
	return port
}

// TestKdigVerifiesAndAsksEncrypted asks everything over DoT, DoH and DoQ, with
// the certificate verified, and is not answered when another name is expected.
func TestKdigVerifiesAndAsksEncrypted(t *testing.T) {
	kdig := tool(t, "kdig")
	ca := newAuthority(t)
	srv := startEncrypted(t, ca)
	for _, c := range []struct{ transport, option, session string }{
		{"dot", "+tls", "TLS session (TLS1.3)"},
		{"doh", "+https", "HTTP session (HTTP/2-POST)-(" + testHost + "/dns-query)"},
		{"doh", "+https-get", "HTTP session (HTTP/2-GET)-(" + testHost + "/dns-query)"},
		{"doq", "+quic", "QUIC session (QUICv1)-(TLS1.3)"},
	} {
		t.Run(c.option[1:], func(t *testing.T) {
			// kdig crashes when its +tls options come after +quic.
			options := func(host string) []string {
				return []string{"@127.0.0.1", "-p", srv.portOf(c.transport), "+tls-ca=" + ca.file, "+tls-hostname=" + host, c.option, "+retry=0", "+time=10", "+noall", "+header", "+answer", "+authority"}
			}
			for _, q := range mainJob {
				cmd := exec.Command(kdig, append(options(testHost), "-t", q.qtype, q.name)...)
				out, err := cmd.CombinedOutput()
				if err != nil && strings.Contains(string(out), "QUIC support") {
					t.Skipf("this kdig has no QUIC: %s", out)
				}
				for _, want := range []string{c.session, "status: NOERROR", "Flags: qr aa rd;"} {
					if !strings.Contains(string(out), want) {
						t.Errorf("no %q in the output of %s", want, cmd)
					}
				}
				if err != nil || !slices.Equal(recordLines(out), q.records) {
					t.Errorf("%s: %v\n%s\nexpected\n%s", cmd, err, out, strings.Join(q.records, "\n"))
				}
			}
			cmd := exec.Command(kdig, append(options("other.park.example"), "-d", "example.com")...)
			if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "name in the certificate does not match") {
				t.Errorf("%s: %v\n%s", cmd, err, out)
			}
		})
	}
}

// TestCurlResolvesByDoH fetches the page for people from the second name
// server, whose address nothing but this server's answer can tell.
func TestCurlResolvesByDoH(t *testing.T) {
	curl := tool(t, "curl")
	if runtime.GOOS != "linux" {
		t.Skip("127.0.0.2 is not everywhere an address of loopback")
	}
	ca := newAuthority(t)
	pair := ca.issue(t.TempDir(), 2, testHost, "ns2.park.example")
	srv := start(t, "--config", encryptedSettings(t, `listen: {udp: [], tcp: [], dot: [], doh: ["127.0.0.1:0", "127.0.0.2:0"], doq: [], admin: []}`, pair))
	port := srv.portOf("doh")
	page := strings.Replace(srv.addr["doh"][1], "127.0.0.2", "ns2.park.example", 1)
	cmd := exec.Command(curl, "--verbose", "--silent", "--show-error", "--max-time", "20", "--http2", "--cacert", ca.file,
		"--resolve", testHost+":"+port+":127.0.0.1", "--doh-url", "https://"+testHost+":"+port+"/dns-query",
		"--write-out", `from=%{remote_ip} version=%{http_version} status=%{http_code}`, "https://"+page+"/")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	for _, want := range []string{"POST /dns-query HTTP/2", "from=127.0.0.2 version=2 status=200", "v=spf1 -all"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in the output of %s:\n%s", want, cmd, out)
		}
	}
	srv.signal(os.Interrupt)
	status := srv.end()
	// A and AAAA; builds of curl that know ECH ask for HTTPS too.
	if status != 0 || !regexp.MustCompile(`msg=stopped answered=[23] refused=0`).MatchString(srv.log.String()) {
		t.Errorf("status %d\n%s", status, srv.log.String())
	}
}

// TestCurlGetsDNSMessages asks by GET and POST over HTTP/1.1 and HTTP/2 (RFC
// 8484 §4.1).
func TestCurlGetsDNSMessages(t *testing.T) {
	curl := tool(t, "curl")
	ca := newAuthority(t)
	srv := startEncrypted(t, ca)
	url := "https://" + testHost + ":" + srv.portOf("doh") + "/dns-query"
	dir := t.TempDir()
	sent := write(t, dir, "query", string(dohQuery(t)))
	received := filepath.Join(dir, "answer")
	for version, shown := range map[string]string{"--http1.1": "1.1", "--http2": "2"} {
		for method, args := range map[string][]string{
			"GET":  {url + "?dns=" + base64.RawURLEncoding.EncodeToString(dohQuery(t))},
			"POST": {"--header", "content-type: application/dns-message", "--data-binary", "@" + sent, url},
		} {
			cmd := exec.Command(curl, append([]string{version, "--silent", "--show-error", "--max-time", "20", "--cacert", ca.file,
				"--resolve", testHost + ":" + srv.portOf("doh") + ":127.0.0.1", "--header", "accept: application/dns-message",
				"--output", received, "--write-out", `%{http_version} %{http_code} %{content_type} %header{cache-control}`}, args...)...)
			out, err := cmd.CombinedOutput()
			if want := shown + " 200 application/dns-message max-age=3600"; err != nil || string(out) != want {
				t.Errorf("%s %s: %s: %v\n%s\nexpected %s", method, version, cmd, err, out, want)
				continue
			}
			answer, err := os.ReadFile(received)
			if err != nil {
				t.Fatal(err)
			}
			m := new(dns.Msg)
			if err := m.Unpack(answer); err != nil || len(m.Answer) != 1 || m.Answer[0].String() != "example.com.\t3600\tIN\tTXT\t\"v=spf1 -all\"" {
				t.Errorf("%s %s: %v, %x", method, version, err, answer)
			}
			os.Remove(received)
		}
	}
}

// dohQuery asks for example.com's TXT, with ID 0 as RFC 8484 §4.1 advises.
func dohQuery(t *testing.T) []byte {
	t.Helper()
	m := new(dns.Msg).SetQuestion("example.com.", dns.TypeTXT)
	m.Id = 0
	wire, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return wire
}

// TestOpenSSLAgreesOnALPN shows which protocols, versions and names a handshake
// may ask for, and which certificate it gets. The first one is the default.
func TestOpenSSLAgreesOnALPN(t *testing.T) {
	openssl := tool(t, "openssl")
	ca := newAuthority(t)
	dir := t.TempDir()
	srv := start(t, "--config", encryptedSettings(t, encryptedListen, ca.issue(dir, 2, testHost), ca.issue(dir, 3, "ns2.park.example")))
	const (
		first, second = "subject=CN = " + testHost, "subject=CN = ns2.park.example"
		verified      = "Verification: OK"
		noProtocol    = "alert no application protocol" // RFC 7301 §3.2
	)
	for _, c := range []struct {
		transport, args string
		want            []string
		refused         bool
	}{
		{"dot", "-alpn dot -servername ns1.park.example -verify_hostname ns1.park.example", []string{"ALPN protocol: dot", verified, first, "TLSv1.3"}, false},
		{"dot", "-alpn h2,dot", []string{"ALPN protocol: dot", verified}, false},
		{"dot", "-servername ns1.park.example", []string{"No ALPN negotiated", verified, first}, false},
		{"dot", "-alpn h2", []string{noProtocol}, true},
		{"dot", "-alpn dot -noservername", []string{verified, first}, false},
		{"dot", "-alpn dot -servername stranger.example", []string{verified, first}, false},
		{"dot", "-alpn dot -servername ns2.park.example -verify_hostname ns2.park.example", []string{verified, second}, false},
		{"dot", "-alpn dot -servername ns1.park.example -verify_hostname ns2.park.example", []string{"ostname mismatch"}, true},
		{"dot", "-alpn dot -tls1_2", []string{"ALPN protocol: dot", verified, "TLSv1.2"}, false},
		{"dot", "-alpn dot -tls1_1 -cipher DEFAULT@SECLEVEL=0", []string{"alert protocol version"}, true},
		{"doh", "-alpn h2,http/1.1 -servername ns1.park.example", []string{"ALPN protocol: h2", verified, first}, false},
		{"doh", "-alpn http/1.1", []string{"ALPN protocol: http/1.1", verified}, false},
		{"doh", "-noservername", []string{"No ALPN negotiated", verified, first}, false},
		{"doh", "-alpn dot", []string{noProtocol}, true},
		{"doh", "-tls1_1 -cipher DEFAULT@SECLEVEL=0", []string{"alert protocol version"}, true},
	} {
		args := append([]string{"s_client", "-connect", "127.0.0.1:" + srv.portOf(c.transport), "-CAfile", ca.file, "-verify_return_error"}, strings.Fields(c.args)...)
		cmd := exec.Command(openssl, args...)
		out, err := cmd.CombinedOutput()
		// OpenSSL 3.2 and later leaves out the spaces.
		shown := strings.ReplaceAll(string(out), "subject=CN=", "subject=CN = ")
		for _, want := range c.want {
			if !strings.Contains(shown, want) {
				t.Errorf("no %q in the output of %s:\n%s", want, cmd, out)
			}
		}
		if (err != nil) != c.refused {
			t.Errorf("%s: %v, expected refusal: %t\n%s", cmd, err, c.refused, out)
		}
	}
}

// TestH2specFindsNothing: what the HTTP/2 conformance tester asks, of the page, of
// a query, and of POST.
func TestH2specFindsNothing(t *testing.T) {
	h2spec := tool(t, "h2spec")
	srv := startEncrypted(t, newAuthority(t))
	host, port, err := net.SplitHostPort(srv.addr["doh"][0])
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/", "/dns-query", "/dns-query?dns=" + base64.RawURLEncoding.EncodeToString(dohQuery(t))} {
		cmd := exec.Command(h2spec, "--strict", "--tls", "--insecure", "--host", host, "--port", port, "--path", path)
		out, err := cmd.CombinedOutput()
		if err != nil || !regexp.MustCompile(`(?m)^\d{3} tests, \d{3} passed, 0 skipped, 0 failed$`).Match(out) {
			t.Errorf("%s: %v\n%s", cmd, err, out)
		}
	}
}

// TestH2loadLosesNothing sends 10,000 queries over ten HTTP/2 connections.
func TestH2loadLosesNothing(t *testing.T) {
	h2load := tool(t, "h2load")
	srv := startEncrypted(t, newAuthority(t))
	const requests = 10_000
	cmd := exec.Command(h2load, "--requests", fmt.Sprint(requests), "--clients", "10", "--max-concurrent-streams", "20",
		"--header", "content-type: application/dns-message", "--data", write(t, t.TempDir(), "query", string(dohQuery(t))),
		"https://"+srv.addr["doh"][0]+"/dns-query")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	for _, want := range []string{
		fmt.Sprintf("%d succeeded, 0 failed, 0 errored, 0 timeout", requests),
		fmt.Sprintf("status codes: %d 2xx", requests),
		"Application protocol: h2\n",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in the output of %s:\n%s", want, cmd, out)
		}
	}
	t.Logf("%s", regexp.MustCompile(`finished in .*`).Find(out))
	stopsAfter(t, srv, requests)
}
