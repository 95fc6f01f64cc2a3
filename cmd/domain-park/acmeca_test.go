package main

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
)

const (
	caIdentity   = "pebble.test"                    // of the CA in a CAA record
	newOrderPath = "/order-plz"                     // Pebble's
	caLifeSecs   = 90 * 24 * 3600                   // of a certificate
	caaProblem   = "urn:ietf:params:acme:error:caa" // RFC 8555 §6.7
)

// acmeCA is Let's Encrypt's Pebble in this process, on loopback. Its DNS is
// the server under test, whose ports are known only when it runs: requests
// wait until then.
type acmeCA struct {
	t                *testing.T
	directory        string
	rootsOfDirectory string // file
	roots            string // file: of the certificates that it issues
	ca               *ca.CAImpl
	memory           *db.MemoryStore
	dns              string       // host:port, UDP
	pebble           http.Handler // set when opened is closed
	opened           chan struct{}
	down             atomic.Bool
	requests, orders atomic.Int32
}

func newACMECA(t *testing.T) *acmeCA {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0") // an order that is repeated would count twice
	p := &acmeCA{t: t, opened: make(chan struct{}), memory: db.NewMemoryStore()}
	front := httptest.NewTLSServer(http.HandlerFunc(p.serve))
	front.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(func() {
		p.down.Store(true)
		front.CloseClientConnections()
		front.Close()
	})
	p.directory = front.URL + wfe.DirectoryPath
	dir := t.TempDir()
	p.rootsOfDirectory = write(t, dir, "directory.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw})))
	// The host is in the subject too, as in Let's Encrypt's default profile:
	// kdig 3.2 takes no certificate with an empty one.
	profile := ca.Profile{ValidityPeriod: caLifeSecs, PromoteCommonName: true}
	p.ca = ca.New(log.New(io.Discard, "", 0), p.memory, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": profile})
	p.roots = write(t, dir, "roots.pem", string(p.ca.GetRootCert(0).PEM()))
	return p
}

// open lets requests in. The CA asks dns, and validates at the ports of the
// server that it knows by name alone.
func (p *acmeCA) open(srv *running) {
	p.t.Helper()
	number := func(transport string) int {
		if len(srv.addr[transport]) == 0 {
			return 1 // nobody listens there
		}
		n, err := strconv.Atoi(srv.portOf(transport))
		if err != nil {
			p.t.Fatal(err)
		}
		return n
	}
	silent := log.New(io.Discard, "", 0)
	p.dns = srv.addr["udp"][0]
	validator := va.New(silent, number("http"), number("doh"), true, srv.addr["tcp"][0], p.memory)
	front := wfe.New(silent, p.memory, validator, p.ca, []string{caIdentity}, true, false, 1, 1)
	p.pebble = front.Handler()
	close(p.opened)
}

func (p *acmeCA) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(p.ca.GetRootCert(0).PEM())
	return pool
}

// serve looks CAA records up as a CA has to (RFC 8659 §3), which Pebble does
// not, and has Pebble answer all the rest.
func (p *acmeCA) serve(w http.ResponseWriter, r *http.Request) {
	p.requests.Add(1)
	select {
	case <-p.opened:
	case <-r.Context().Done():
		return
	}
	if p.down.Load() {
		panic(http.ErrAbortHandler) // the connection breaks
	}
	if r.URL.Path == newOrderPath {
		p.orders.Add(1)
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		if reason := p.forbidden(body); reason != "" {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusForbidden)
			json.NewEncoder(w).Encode(map[string]any{"type": caaProblem, "detail": reason, "status": http.StatusForbidden})
			return
		}
	}
	p.pebble.ServeHTTP(w, r)
}

// forbidden tells why an order for names is refused; "" when it is not.
func (p *acmeCA) forbidden(order []byte) string {
	var signed struct{ Payload string }
	var payload struct {
		Identifiers []struct{ Value string }
	}
	if err := json.Unmarshal(order, &signed); err != nil {
		return err.Error()
	}
	plain, err := base64.RawURLEncoding.DecodeString(signed.Payload)
	if err != nil {
		return err.Error()
	}
	if err := json.Unmarshal(plain, &payload); err != nil {
		return err.Error()
	}
	for _, id := range payload.Identifiers {
		if reason := caaForbids(p.dns, id.Value); reason != "" {
			return reason
		}
	}
	return ""
}

// caaForbids climbs from a name towards the root, to the first CAA records, or
// to what the server is not authoritative for: a top-level domain.
func caaForbids(server, name string) string {
	client := &dns.Client{Timeout: answerWithin}
	for owner := dns.Fqdn(name); owner != "."; owner = owner[strings.IndexByte(owner, '.')+1:] {
		m, _, err := client.Exchange(new(dns.Msg).SetQuestion(owner, dns.TypeCAA), server)
		if err != nil {
			return err.Error()
		}
		if m.Rcode == dns.RcodeRefused {
			return ""
		}
		issuers := []string{}
		for _, rr := range m.Answer {
			if c, ok := rr.(*dns.CAA); ok && c.Tag == "issue" {
				issuers = append(issuers, c.Value)
			}
		}
		if len(m.Answer) > 0 {
			for _, issuer := range issuers {
				if issuer == caIdentity {
					return ""
				}
			}
			return fmt.Sprintf("CAA record for %s prevents issuance: issuers %q", owner, issuers)
		}
	}
	return ""
}
