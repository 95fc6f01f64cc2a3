package certs

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"domainpark/store"
)

// journal is a log that a test reads.
type journal struct {
	mu    sync.Mutex
	lines bytes.Buffer
}

func (j *journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.lines.Write(line)
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.lines.String()
}

// count is how many lines have text in them.
func (j *journal) count(text string) (n int) {
	for line := range strings.Lines(j.String()) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

func (j *journal) want(t *testing.T, text string, times int) {
	t.Helper()
	if got := j.count(text); got != times {
		t.Errorf("%q is in the log %d times, want %d; the log:\n%s", text, got, times, j)
	}
}

// template is what a test's certificate is like; zero values give one on P-256
// that is valid for 90 days from now.
type template struct {
	names  []string
	rsa    bool
	curve  elliptic.Curve
	before time.Time
	after  time.Time
}

// make returns a certificate and its PEM files.
func (m template) make(t testing.TB) (cert *tls.Certificate, certPEM, keyPEM []byte) {
	t.Helper()
	if m.before.IsZero() {
		m.before = time.Now()
	}
	if m.after.IsZero() {
		m.after = m.before.Add(90 * 24 * time.Hour)
	}
	var key crypto.Signer
	var err error
	if m.rsa {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		key, err = ecdsa.GenerateKey(cmp.Or(m.curve, elliptic.P256()), rand.Reader)
	}
	must(t, err)
	x := &x509.Certificate{
		Subject: pkix.Name{CommonName: "test"}, DNSNames: m.names, SerialNumber: serial(),
		NotBefore: m.before, NotAfter: m.after, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, x, x, key.Public(), key)
	must(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	made, err := tls.X509KeyPair(certPEM, keyPEM)
	must(t, err)
	return &made, certPEM, keyPEM
}

// write makes a certificate, writes it to name.pem and name.key in dir, and
// returns the files and the serial number.
func (m template) write(t testing.TB, dir, name string) (Pair, string) {
	t.Helper()
	cert, certPEM, keyPEM := m.make(t)
	p := Pair{filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")}
	writeFile(t, p.Certificate, certPEM)
	writeFile(t, p.Key, keyPEM)
	return p, cert.Leaf.SerialNumber.String()
}

func writeFile(t testing.TB, file string, text []byte) {
	t.Helper()
	must(t, os.WriteFile(file, text, 0o600))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newSource(t testing.TB, cfg Config) *Source {
	t.Helper()
	s, err := New(cfg)
	must(t, err)
	return s
}

func openStore(t *testing.T, dir string) *store.Dir {
	t.Helper()
	d, err := store.Open(dir)
	must(t, err)
	return d
}

// start runs s until the test ends or stop is called.
func start(t *testing.T, s *Source) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	t.Cleanup(stop)
	return stop
}

// shake shakes hands over a pipe and returns what the client learnt. The
// client verifies nothing unless its config says so.
func shake(t *testing.T, server, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	s := tls.Server(far, server)
	go func() {
		if s.Handshake() == nil {
			s.Write([]byte{1}) // brings the session ticket along
		}
		far.Close()
	}()
	c := tls.Client(near, client)
	err := c.Handshake()
	if err == nil {
		c.Read(make([]byte, 1))
	}
	return c.ConnectionState(), err
}

// served returns the serial number of the certificate that a client gets.
func served(t *testing.T, s *Source, name string) string {
	t.Helper()
	return servedTo(t, s, &tls.Config{ServerName: name})
}

func servedTo(t *testing.T, s *Source, client *tls.Config) string {
	t.Helper()
	client.InsecureSkipVerify = true
	state, err := shake(t, s.TLS(), client)
	if err != nil {
		t.Fatalf("handshake for %q: %v", client.ServerName, err)
	}
	return state.PeerCertificates[0].SerialNumber.String()
}

func wantServed(t *testing.T, s *Source, name, serial string) {
	t.Helper()
	if got := served(t, s, name); got != serial {
		t.Errorf("handshake for %q: got certificate %s, want %s", name, got, serial)
	}
}

func wantSelfSigned(t *testing.T, s *Source, name string) {
	t.Helper()
	s.mu.Lock()
	own := s.own.Leaf.SerialNumber.String()
	s.mu.Unlock()
	wantServed(t, s, name, own)
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("got no error, want one with %q", parts)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("got error %q, want %q in it", err, part)
		}
	}
}
