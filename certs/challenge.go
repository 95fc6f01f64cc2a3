package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/acme"

	"domainpark/store"
)

// The kinds of challenges that can be answered, by the names that CAs use.
const (
	kindTLSALPN = "tls-alpn-01" // RFC 8737
	kindHTTP    = "http-01"     // RFC 8555 §8.3
)

// challengePath is where a CA asks for the answer to http-01.
const challengePath = "/.well-known/acme-challenge/"

// maxTokenBytes bounds the tokens that are looked up. CAs use 43 bytes.
const maxTokenBytes = 128

// lookupTimeout bounds how long a CA's question may wait for the store.
const lookupTimeout = 3 * time.Second

// answers are the answers to the challenges that a CA has set us, as the
// Managers of running orders store them: by autocert's keys, in its formats.
// They are in the store too: the CA connects to any of the servers that a host
// name has addresses of, and not to the one that ordered.
//
// Handshakes and requests are answered from here and reach no Manager. Only the
// hosts of the settings are looked up, so that a stranger costs no more than a
// handshake does, and at most one look at the store.
type answers struct {
	store store.Store                     // nil: nothing is answered
	hosts atomic.Pointer[map[string]bool] // nil: none

	mu sync.Mutex // guards what follows
	up map[string][]byte
}

// allow sets the hosts that challenges are answered for.
func (a *answers) allow(hosts []string) {
	set := make(map[string]bool, len(hosts))
	for _, host := range hosts {
		set[host] = true
	}
	a.hosts.Store(&set)
}

func (a *answers) allowed(host string) bool {
	hosts := a.hosts.Load()
	return a.store != nil && hosts != nil && (*hosts)[host]
}

// The keys under which autocert stores answers.
const (
	certificateSuffix = "+token"   // after the host: the certificate for tls-alpn-01
	tokenSuffix       = "+http-01" // after the token
)

func certificateKey(host string) string { return host + certificateSuffix }
func tokenKey(token string) string      { return token + tokenSuffix }

// put puts an answer up. A store that can't be written to is no hindrance: this
// server may well be the one that is asked.
func (a *answers) put(ctx context.Context, key string, value []byte) error {
	a.mu.Lock()
	if a.up == nil {
		a.up = map[string][]byte{}
	}
	a.up[key] = bytes.Clone(value)
	a.mu.Unlock()
	return a.store.Put(ctx, key, value)
}

// remove takes an answer away, also from the store, whatever has become of the order.
func (a *answers) remove(key string) {
	a.mu.Lock()
	delete(a.up, key)
	a.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	a.store.Delete(ctx, key)
}

// get returns the answer that has key, this server's or another's; nil when there
// is none.
func (a *answers) get(ctx context.Context, key string) []byte {
	a.mu.Lock()
	value := a.up[key]
	a.mu.Unlock()
	if value != nil {
		return value
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	value, err := a.store.Get(ctx, key)
	if err != nil {
		return nil
	}
	return value
}

// fromCA tells whether a client is a CA that wants the answer to its challenge:
// it offers acme-tls/1 and nothing else (RFC 8737 §3).
func fromCA(hello *tls.ClientHelloInfo) bool {
	return len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == acme.ALPNProto
}

// certificate returns the answer for host, or nil.
func (a *answers) certificate(ctx context.Context, host string) *tls.Certificate {
	if !a.allowed(host) {
		return nil
	}
	text := a.get(ctx, certificateKey(host))
	if text == nil {
		return nil
	}
	i, err := decodeIssued(text, host)
	if err != nil {
		return nil
	}
	return i.cert
}

// HTTPHandler answers http-01 challenges and nothing else: 404 to all other
// requests. It is for listen.http, which the CA reaches at port 80.
func (s *Source) HTTPHandler() http.Handler { return &s.answers }

// ServeHTTP implements http.Handler.
func (a *answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	token, ok := strings.CutPrefix(r.URL.Path, challengePath)
	if !ok {
		http.Error(w, "This port answers ACME challenges and nothing else.", http.StatusNotFound)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "An ACME challenge is asked for with GET.", http.StatusMethodNotAllowed)
		return
	}
	var text []byte
	if validToken(token) && a.allowed(hostOf(r.Host)) {
		text = a.get(r.Context(), tokenKey(token))
	}
	if len(text) == 0 {
		http.Error(w, "There is no such ACME challenge.", http.StatusNotFound)
		return
	}
	w.Write(text)
}

// validToken tells whether token is base64url (RFC 8555 §8.3) and not absurdly long.
func validToken(token string) bool {
	if token == "" || len(token) > maxTokenBytes {
		return false
	}
	for _, c := range []byte(token) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// hostOf is the host name of a Host header.
func hostOf(header string) string {
	host := header
	if h, _, err := net.SplitHostPort(header); err == nil {
		host = h
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
