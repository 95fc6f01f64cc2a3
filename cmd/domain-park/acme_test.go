package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"
)

// acmeSettings are of a server that looks after its certificate itself, and
// answers for its own name: its registry would give its address as glue.
func (p *acmeCA) acmeSettings(host, listen, store string) (file string) {
	return write(p.t, p.t.TempDir(), "settings.yaml", fmt.Sprintf(`
nameservers: [{name: ns1.park.example, addresses: [127.0.0.1]}, {name: ns2.park.example}]
listen: {%s, admin: []}
tls: {acme: {hosts: [%s], email: ops@park.example, directory: %q, roots: %q}}
store: {directory: %q}
`, listen, host, p.directory, p.rootsOfDirectory, store))
}

// TestCertificateIssuedThroughOurOwnDNS is a server's first day: the CA finds
// its host, and whether it may issue, by asking this very server. DoT works
// from the first moment, with a certificate that nobody can verify yet.
func TestCertificateIssuedThroughOurOwnDNS(t *testing.T) {
	const plain = `udp: ["127.0.0.1:0"], tcp: ["127.0.0.1:0"], dot: ["127.0.0.1:0"], doq: ["127.0.0.1:0"]`
	for challenge, more := range map[string]string{
		"tls-alpn-01": `, doh: ["127.0.0.1:0"], http: []`,
		"http-01":     `, doh: [], http: ["127.0.0.1:0"]`,
	} {
		t.Run(challenge, func(t *testing.T) {
			p := newACMECA(t)
			settings := p.acmeSettings(testHost, plain+more, t.TempDir()+"/store")
			srv := start(t, "--config", settings)
			askDoT(t, srv, &tls.Config{InsecureSkipVerify: true})
			if err := shakeDoT(srv, p.pool()); !errors.As(err, new(x509.UnknownAuthorityError)) {
				t.Errorf("before the certificate is issued, a client that verifies sees: %v", err)
			}
			p.open(srv)
			srv.awaitIssued()
			expectVerified(t, srv, p)
			stopsInOrder(t, srv)

			p.down.Store(true)
			requests := p.requests.Load()
			again := start(t, "--config", settings)
			again.awaitLogged(`msg="certificate loaded from the store"`)
			expectVerified(t, again, p)
			stopsInOrder(t, again)
			if orders := p.orders.Load(); orders != 1 || p.requests.Load() != requests {
				t.Errorf("%d orders; %d requests after the restart", orders, p.requests.Load()-requests)
			}
		})
	}
}

// TestParkedDomainsCAAForbidsIssuance asks for a certificate for a domain that
// is parked at another server: its CAA records stand against it. Only the
// base of a server's own ACME hosts has none.
func TestParkedDomainsCAAForbidsIssuance(t *testing.T) {
	p := newACMECA(t)
	parking := start(t, "--config", p.acmeSettings(testHost, `udp: ["127.0.0.1:0"], tcp: ["127.0.0.1:0"], dot: [], doh: ["127.0.0.1:0"], doq: []`, t.TempDir()+"/store"))
	p.open(parking)
	parking.awaitIssued()

	stranger := start(t, "--config", p.acmeSettings("www.parked.example", `udp: [], tcp: [], dot: [], doh: ["127.0.0.1:0"], doq: []`, t.TempDir()+"/store"))
	stranger.await(`msg="certificate order failed`)
	if want := "CAA record for www.parked.example. prevents issuance"; !strings.Contains(stranger.log.String(), want) {
		t.Errorf("no %q in\n%s", want, stranger.log.String())
	}
	stopsInOrder(t, stranger)
	stopsInOrder(t, parking)
}

// awaitIssued waits for the end of the order.
func (r *running) awaitIssued() {
	r.t.Helper()
	r.await(`msg="certificate `)
	if !strings.Contains(r.log.String(), `msg="certificate issued"`) {
		r.t.Fatal(r.log.String())
	}
}

// awaitLogged is await for a line that may stand in front of "ready".
func (r *running) awaitLogged(text string) {
	r.t.Helper()
	if !strings.Contains(r.log.String(), text) {
		r.await(text)
	}
}

func stopsInOrder(t *testing.T, srv *running) {
	t.Helper()
	srv.signal(syscall.SIGTERM)
	if status := srv.end(); status != 0 || !strings.Contains(srv.log.String(), "msg=stopped") {
		t.Errorf("status %d\n%s", status, srv.log.String())
	}
}

// expectVerified asks over every encrypted transport there is, by clients that
// trust the CA alone.
func expectVerified(t *testing.T, srv *running, p *acmeCA) {
	t.Helper()
	askDoT(t, srv, &tls.Config{RootCAs: p.pool(), ServerName: testHost, NextProtos: []string{"dot"}})
	ctx, cancel := context.WithTimeout(t.Context(), answerWithin)
	defer cancel()
	conn, err := quic.DialAddr(ctx, srv.addr["doq"][0], &tls.Config{RootCAs: p.pool(), ServerName: testHost, NextProtos: []string{"doq"}}, patientQUIC())
	if err != nil {
		t.Fatalf("DoQ: %v", err)
	}
	conn.CloseWithError(0, "")
	if len(srv.addr["doh"]) > 0 {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: p.pool(), ServerName: testHost}, ForceAttemptHTTP2: true}
		defer transport.CloseIdleConnections()
		c := &dohClient{&http.Client{Transport: transport, Timeout: answerWithin}, "https://" + srv.addr["doh"][0] + "/dns-query", http.MethodPost}
		if answer, _ := c.exchange(t, dohQuery(t), false); len(answer) == 0 {
			t.Error("no answer over DoH")
		}
	}
	for name, args := range map[string][]string{
		"kdig":    {"@127.0.0.1", "-p", srv.portOf("dot"), "+tls-ca=" + p.roots, "+tls-hostname=" + testHost, "+tls", "example.com", "TXT"},
		"openssl": {"s_client", "-connect", srv.addr["dot"][0], "-CAfile", p.roots, "-verify_return_error", "-verify_hostname", testHost, "-servername", testHost},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(tool(t, name), args...)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", cmd, err, out)
			}
		})
	}
}

// askDoT asks for a parked domain's TXT.
func askDoT(t *testing.T, srv *running, cfg *tls.Config) {
	t.Helper()
	client := &dns.Client{Net: "tcp-tls", TLSConfig: cfg, Timeout: answerWithin}
	m, _, err := client.Exchange(new(dns.Msg).SetQuestion("example.com.", dns.TypeTXT), srv.addr["dot"][0])
	if err != nil || len(m.Answer) != 1 {
		t.Fatalf("DoT: %v, %v", m, err)
	}
}

// shakeDoT is how a handshake ends for a client that verifies.
func shakeDoT(srv *running, roots *x509.CertPool) error {
	dialer := &net.Dialer{Timeout: answerWithin}
	conn, err := tls.DialWithDialer(dialer, "tcp", srv.addr["dot"][0], &tls.Config{RootCAs: roots, ServerName: testHost})
	if err == nil {
		conn.Close()
	}
	return err
}
