package listeners

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"

	"domainpark/query"
)

// cacheable answers as mirror does, for a cache to keep five minutes.
var cacheable = resolverFunc(func(dst []byte, q *query.Query) []byte {
	q.Verdict, q.MaxAge = query.Answered, 300
	return mirror(dst, q)
})

// plainQuery asks for example.com MX with ID 0.
var plainQuery = []byte("\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x0f\x00\x01")

// selfSigned is a certificate for localhost and the loopback addresses, and a
// pool that trusts it.
var selfSigned = sync.OnceValues(func() (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(127, 0, 0, 2), net.IPv6loopback},
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
})

// clientTLS trusts the test's certificate and speaks alpn.
func clientTLS(alpn ...string) *tls.Config {
	_, pool := selfSigned()
	return &tls.Config{RootCAs: pool, ServerName: "localhost", NextProtos: alpn}
}

// webConfig is a Config for the encrypted transports, with deadlines that no
// test should reach, however busy the machine is.
func webConfig() Config {
	cert, _ := selfSigned()
	return Config{
		TLS: &tls.Config{Certificates: []tls.Certificate{cert}},
		Log: slog.New(slog.DiscardHandler),
		Timeouts: Timeouts{
			Handshake: patience,
			Message:   patience,
			Idle:      patience,
			Write:     patience,
			Shutdown:  patience,
		},
	}
}

// webVersions are the HTTP versions that every test of DoH goes through.
var webVersions = []string{"HTTP/1.1", "HTTP/2.0", "HTTP/3.0"}

// webClient speaks one version of HTTP and no other, until its test ends.
func webClient(t *testing.T, version string) *http.Client {
	t.Helper()
	if version == "HTTP/3.0" {
		tr := &http3.Transport{TLSClientConfig: clientTLS(), DisableCompression: true}
		t.Cleanup(func() { tr.Close() })
		return &http.Client{Transport: tr}
	}
	tr := &http.Transport{TLSClientConfig: clientTLS(), DisableCompression: true, Protocols: new(http.Protocols)}
	tr.Protocols.SetHTTP1(version == "HTTP/1.1")
	tr.Protocols.SetHTTP2(version == "HTTP/2.0")
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// dohURL is the URL of path on s.
func (s *running) dohURL(t testing.TB, path string) string {
	t.Helper()
	return "https://" + s.addrOf(t, "doh") + path
}

// getURL asks for m by GET.
func (s *running) getURL(t testing.TB, m []byte) string {
	t.Helper()
	return s.dohURL(t, dohPath+"?dns="+base64.RawURLEncoding.EncodeToString(m))
}

// do sends a request and returns the answer with its body.
func do(t *testing.T, c *http.Client, req *http.Request) (*http.Response, []byte) {
	t.Helper()
	res, err := c.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: body: %v", req.Method, req.URL, err)
	}
	return res, body
}

func request(t *testing.T, method, url string, body io.Reader, header ...string) *http.Request {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return req
}

// loopback tells whether a is 127.0.0.1 with a port, not IPv6-mapped.
func loopback(a netip.AddrPort) bool {
	return a.Addr() == netip.AddrFrom4([4]byte{127, 0, 0, 1}) && a.Port() != 0
}

// serveSet serves a set that a test has bound and changed, until the test ends.
func serveSet(t testing.TB, set *Set) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &running{set, cancel, make(chan error, 1)}
	go func() { s.done <- set.Serve(ctx) }()
	t.Cleanup(func() { s.stop(t) })
	return s
}
