package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
)

// patience bounds every wait for a CA that works. Pebble answers in a second.
const patience = 20 * time.Second

// pebble is Let's Encrypt's test CA, in this process, on loopback. It connects
// back to tls and http for validation, by names that its DNS server all gives
// the address 127.0.0.1.
type pebble struct {
	tls, http net.Listener // for the servers under test
	directory string
	roots     string // PEM file for Config.ACME.Roots

	handler atomic.Pointer[http.Handler]
	ca      *ca.CAImpl
	dns     string
	down    atomic.Bool
	orders  atomic.Int32 // that were accepted
}

func TestMain(m *testing.M) {
	os.Setenv("PEBBLE_VA_NOSLEEP", "1")
	os.Setenv("PEBBLE_AUTHZREUSE", "0")
	os.Setenv("PEBBLE_WFE_NONCEREJECT", "10") // clients have to cope
	os.Exit(m.Run())
}

// newPebble starts a CA for a test, which from then on runs beside others. One goroutine of Pebble's validator stays for the
// life of the process: it has no way to stop it.
func newPebble(t *testing.T) *pebble {
	t.Helper()
	t.Parallel() // an order waits for a second, for the CA to be asked again
	p := &pebble{tls: listen(t), http: listen(t), dns: dnsServer(t)}
	p.restart()
	front := httptest.NewTLSServer(http.HandlerFunc(p.serve))
	t.Cleanup(front.Close)
	front.Config.ErrorLog = log.New(io.Discard, "", 0)
	p.directory = front.URL + wfe.DirectoryPath
	p.roots = filepath.Join(t.TempDir(), "ca.pem")
	writeFile(t, p.roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}))
	return p
}

// restart makes the CA forget its accounts, as Pebble does, and its key.
func (p *pebble) restart() {
	silent := log.New(io.Discard, "", 0)
	memory := db.NewMemoryStore()
	memory.AddBlockedDomain("blocked.example")
	p.ca = ca.New(silent, memory, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {ValidityPeriod: uint64(life.Seconds())}})
	validator := va.New(silent, port(p.http), port(p.tls), true, p.dns, memory)
	front := wfe.New(silent, memory, validator, p.ca, []string{"pebble.test"}, true, false, 1, 1)
	handler := front.Handler()
	p.handler.Store(&handler)
}

func (p *pebble) serve(w http.ResponseWriter, r *http.Request) {
	if p.down.Load() {
		panic(http.ErrAbortHandler) // the connection breaks
	}
	answer := &statusWriter{ResponseWriter: w}
	(*p.handler.Load()).ServeHTTP(answer, r)
	if r.URL.Path == "/order-plz" && answer.status == http.StatusCreated {
		p.orders.Add(1)
	}
}

// statusWriter remembers the status: an order with a nonce that Pebble refuses
// is none.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// pool has the root that the issued certificates are verified by.
func (p *pebble) pool(t *testing.T) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(p.ca.GetRootCert(0).PEM()) {
		t.Fatal("Pebble's root does not parse")
	}
	return pool
}

func (p *pebble) wantOrders(t *testing.T, want int32) {
	t.Helper()
	if got := p.orders.Load(); got != want {
		t.Errorf("got %d orders at the CA, want %d", got, want)
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

func port(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

// dnsServer says 127.0.0.1 to every question. Pebble asks over TCP.
func dnsServer(t *testing.T) string {
	t.Helper()
	l := listen(t)
	server := &dns.Server{Listener: l, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		if q.Question[0].Qtype == dns.TypeA {
			a, _ := dns.NewRR(q.Question[0].Name + " 0 A 127.0.0.1")
			m.Answer = append(m.Answer, a)
		}
		w.WriteMsg(m)
	})}
	done := make(chan struct{})
	go func() { defer close(done); server.ActivateAndServe() }()
	t.Cleanup(func() { server.Shutdown(); <-done })
	return l.Addr().String()
}

// server is a Source with the listeners that the CA connects to.
type server struct {
	*Source
	events chan struct{}
	log    *journal
	stop   func()
}

// config is for a server that answers the kinds of challenges that it has
// listeners for.
func (p *pebble) config(dir string, t *testing.T, log *journal, kinds ...string) Config {
	cfg := Config{ACME: ACME{Hosts: []string{testHost}, Email: "ops@park.example", Directory: p.directory, Roots: p.roots},
		Store: openStore(t, dir), Log: log.logger()}
	for _, kind := range kinds {
		switch kind {
		case kindTLSALPN:
			cfg.DoH = []string{p.tls.Addr().String()}
		case kindHTTP:
			cfg.HTTP = []string{p.http.Addr().String()}
		}
	}
	return cfg
}

// newServer makes a Source of cfg that runs. It does not listen.
func newServer(t *testing.T, cfg Config, log *journal) *server {
	t.Helper()
	s := &server{Source: newSource(t, cfg), events: make(chan struct{}, 1), log: log}
	s.observe = func() {
		select {
		case s.events <- struct{}{}:
		default:
		}
	}
	s.stop = start(t, s.Source)
	return s
}

// acceptTLS shakes hands on l with the certificates of s until the test ends.
func (s *server) acceptTLS(t *testing.T, l net.Listener) {
	var wg sync.WaitGroup
	cfg := s.TLS().Clone()
	cfg.NextProtos = append([]string{"h2", "http/1.1"}, cfg.NextProtos...)
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(patience))
				if conn := tls.Server(c, cfg); conn.Handshake() == nil {
					io.Copy(io.Discard, conn)
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
}

// acceptHTTP serves the HTTP handler of s on l until the test ends.
func (s *server) acceptHTTP(t *testing.T, l net.Listener) {
	h := &http.Server{Handler: s.HTTPHandler(), ReadHeaderTimeout: patience}
	done := make(chan struct{})
	go func() { defer close(done); h.Serve(l) }()
	t.Cleanup(func() { h.Close(); <-done })
}

// wait waits until the first host's status is as ok wants it.
func (s *server) wait(t *testing.T, what string, ok func(Status) bool) Status {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		if st := s.Status()[0]; ok(st) {
			return st
		}
		select {
		case <-s.events:
		case <-ctx.Done():
			t.Fatalf("%s: not within %s; status %+v; the log:\n%s", what, patience, s.Status()[0], s.log)
		}
	}
}

func (s *server) waitIssued(t *testing.T) string {
	t.Helper()
	s.wait(t, "a certificate", func(st Status) bool { return !st.Expires.IsZero() && st.Err == nil })
	return served(t, s.Source, testHost)
}

// wantVerified wants that a client which verifies gets through.
func (s *server) wantVerified(t *testing.T, p *pebble) {
	t.Helper()
	if _, err := shake(t, s.TLS(), &tls.Config{ServerName: testHost, RootCAs: p.pool(t)}); err != nil {
		t.Errorf("a client that verifies: %v", err)
	}
}

func (s *server) renewNow() {
	s.mu.Lock()
	k := s.keepers[testHost]
	k.renewal = time.Now()
	s.mu.Unlock()
	k.hurry()
}
