package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// encryptedServer is the program with a certificate that ca certifies.
type encryptedServer struct {
	*running
	ca string // file
}

const encryptedHost = "ns1.park.example"

// startEncrypted listens on every transport. The first name server's address
// is this machine's, so that clients which resolve its name find it.
func startEncrypted(t *testing.T) *encryptedServer {
	t.Helper()
	dir := t.TempDir()
	ca, certificate, key := makeCertificate(t, encryptedHost)
	srv := &encryptedServer{ca: write(t, dir, "ca.pem", ca)}
	write(t, dir, "certificate.pem", certificate)
	write(t, dir, "key.pem", key)
	srv.running = start(t, "--config", write(t, dir, "settings.yaml", `
nameservers: [{name: `+encryptedHost+`, addresses: [127.0.0.1]}, {name: ns2.park.example}]
parking: {dmarc: {rua: [r@park.example]}}
listen: {udp: ["127.0.0.1:0"], tcp: ["127.0.0.1:0"], dot: ["127.0.0.1:0"], doh: ["127.0.0.1:0"], doq: ["127.0.0.1:0"]}
tls: {certificates: [{certificate: certificate.pem, key: key.pem}]}
`))
	return srv
}

func (s *encryptedServer) port(t *testing.T, transport string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(s.addr[transport][0])
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// makeCertificate returns PEM texts of a CA and of a host's certificate.
func makeCertificate(t *testing.T, host string) (ca, certificate, key string) {
	t.Helper()
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	newKey := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	sign := func(template, parent *x509.Certificate, public, signer *ecdsa.PrivateKey) []byte {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, template, parent, public.Public(), signer)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	caKey, hostKey := newKey(), newKey()
	root := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	root.Subject.CommonName = "a test's CA"
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	keyDER, err := x509.MarshalPKCS8PrivateKey(hostKey)
	if err != nil {
		t.Fatal(err)
	}
	return block("CERTIFICATE", sign(root, root, caKey, caKey)), block("CERTIFICATE", sign(leaf, root, hostKey, caKey)), block("PRIVATE KEY", keyDER)
}

func TestKdigVerifiesTheServerOverEveryTransport(t *testing.T) {
	kdig := tool(t, "kdig")
	help, _ := exec.Command(kdig, "--help").CombinedOutput()
	srv := startEncrypted(t)
	for _, c := range []struct{ name, transport, option string }{
		{"tls", "dot", "+tls"},
		{"https", "doh", "+https"},
		{"https-get", "doh", "+https-get"},
		{"quic", "doq", "+quic"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !bytes.Contains(help, []byte("+[no]"+c.name)) {
				t.Skipf("this kdig has no %s", c.option)
			}
			for _, q := range mainJob {
				cmd := exec.Command(kdig, "@127.0.0.1", "-p", srv.port(t, c.transport), c.option, "+tls-ca="+srv.ca, "+tls-hostname="+encryptedHost,
					"+retry=0", "+time=10", "+noall", "+header", "+answer", "+authority", "-t", q.qtype, q.name)
				out, err := cmd.CombinedOutput()
				if c.name == "quic" && bytes.Contains(out, []byte("(TCP)")) {
					t.Skip("this kdig was built without QUIC, and asks over TCP")
				}
				if err != nil || !bytes.Contains(out, []byte("status: NOERROR")) || strings.Join(recordLines(out), "\n") != strings.Join(q.records, "\n") {
					t.Errorf("%s: %v\n%s", cmd, err, out)
				}
			}
			other := exec.Command(kdig, "@127.0.0.1", "-p", srv.port(t, c.transport), c.option, "+tls-ca="+srv.ca, "+tls-hostname=other.example", "+retry=0", "+time=10", "TXT", "example.com")
			if out, err := other.CombinedOutput(); err == nil && bytes.Contains(out, []byte("status: NOERROR")) {
				t.Errorf("%s: the certificate was good for another host:\n%s", other, out)
			}
		})
	}
}

// TestCurlResolvesByDoH lets curl look a name server's address up by DoH and
// fetch a page from there.
func TestCurlResolvesByDoH(t *testing.T) {
	curl := tool(t, "curl")
	srv := startEncrypted(t)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "found by DoH") }))
	t.Cleanup(page.Close)
	_, port, err := net.SplitHostPort(page.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(curl, "--silent", "--show-error", "--noproxy", "*", "--max-time", "20", "--http2", "--doh-insecure",
		"--doh-url", "https://127.0.0.1:"+srv.port(t, "doh")+"/dns-query", "http://"+encryptedHost+":"+port+"/")
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "found by DoH" {
		t.Errorf("%s: %v\n%s", cmd, err, out)
	}
	stopsAfter(t, srv.running, 2) // A and AAAA
}

func TestOpenSSLAgreesOnALPN(t *testing.T) {
	openssl := tool(t, "openssl")
	srv := startEncrypted(t)
	for _, c := range []struct {
		name, transport string
		args            []string
		want            string
	}{
		{"dot", "dot", []string{"-servername", encryptedHost, "-alpn", "dot"}, "ALPN protocol: dot"},
		{"no ALPN", "dot", []string{"-servername", encryptedHost}, "No ALPN negotiated"},
		{"no server name", "dot", []string{"-noservername", "-alpn", "dot"}, "ALPN protocol: dot"},
		{"h2", "doh", []string{"-servername", encryptedHost, "-alpn", "h2,http/1.1"}, "ALPN protocol: h2"},
		{"HTTP/1.1", "doh", []string{"-servername", encryptedHost, "-alpn", "http/1.1"}, "ALPN protocol: http/1.1"},
		{"TLS 1.2", "dot", []string{"-servername", encryptedHost, "-alpn", "dot", "-tls1_2"}, "TLSv1.2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"s_client", "-connect", "127.0.0.1:" + srv.port(t, c.transport), "-CAfile", srv.ca, "-verify_hostname", encryptedHost, "-verify_return_error"}, c.args...)
			cmd := exec.Command(openssl, args...)
			cmd.Stdin = strings.NewReader("")
			out, err := cmd.CombinedOutput()
			if err != nil || !bytes.Contains(out, []byte(c.want)) || !bytes.Contains(out, []byte("Verify return code: 0 (ok)")) {
				t.Errorf("%s: %v, expected %q\n%s", cmd, err, c.want, out)
			}
		})
	}
}

// TestUnboundResolvesOverDoT has a real resolver in front, which minimises
// names and verifies the server's certificate.
func TestUnboundResolvesOverDoT(t *testing.T) {
	unbound := tool(t, "unbound")
	srv := startEncrypted(t)
	resolver := startUnbound(t, unbound, srv, encryptedHost)
	for _, q := range mainJob {
		if q.qtype == "NS" || q.qtype == "ANY" || q.qtype == "A" {
			continue // which a resolver answers in its own way
		}
		m := askTCP(t, resolver, q.name, dns.StringToType[q.qtype])
		var lines bytes.Buffer
		for _, rr := range m.Answer {
			fmt.Fprintln(&lines, rr)
		}
		if got := recordLines(lines.Bytes()); m.Rcode != dns.RcodeSuccess || strings.Join(got, "\n") != strings.Join(q.records, "\n") {
			t.Errorf("%s %s: %s, got %q, want %q", q.qtype, q.name, dns.RcodeToString[m.Rcode], got, q.records)
		}
	}
	other := startUnbound(t, unbound, srv, "other.example")
	if m := askTCP(t, other, "example.com", dns.TypeTXT); m.Rcode != dns.RcodeServerFailure {
		t.Errorf("the certificate was good for another host: %s", m)
	}
}

func askTCP(t *testing.T, addr, name string, qtype uint16) *dns.Msg {
	t.Helper()
	client := &dns.Client{Net: "tcp", Timeout: answerWithin}
	m, _, err := client.Exchange(new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype), addr)
	if err != nil {
		t.Fatalf("%s %s: %v", dns.Type(qtype), name, err)
	}
	return m
}

// startUnbound runs a resolver that asks srv over DoT, by the name that its
// certificate has to have.
func startUnbound(t *testing.T, unbound string, srv *encryptedServer, name string) (addr string) {
	t.Helper()
	port, dir := freePort(t), t.TempDir()
	settings := fmt.Sprintf(`server:
  interface: 127.0.0.1@%s
  directory: "%s"
  username: ""
  chroot: ""
  pidfile: ""
  use-syslog: no
  logfile: ""
  module-config: "iterator"
  do-not-query-localhost: no
  do-daemonize: no
  tls-cert-bundle: "%s"
  qname-minimisation-strict: yes
remote-control:
  control-enable: no
`, port, dir, srv.ca)
	for _, parked := range []string{"example.com", "example.co.uk", "example.org"} {
		settings += fmt.Sprintf("stub-zone:\n  name: %s\n  stub-addr: 127.0.0.1@%s#%s\n  stub-tls-upstream: yes\n", parked, srv.port(t, "dot"), name)
	}
	cmd := exec.Command(unbound, "-d", "-c", write(t, dir, "unbound.conf", settings))
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("unbound:\n%s", &log)
		}
	})
	addr = "127.0.0.1:" + port
	awaitTCP(t, addr)
	return addr
}

// freePort is a port that nobody has at present.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", loopbackAny)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// awaitTCP waits until somebody listens.
func awaitTCP(t *testing.T, addr string) {
	t.Helper()
	for deadline := time.Now().Add(answerWithin); ; {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		<-time.After(10 * time.Millisecond)
	}
}
