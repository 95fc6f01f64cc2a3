package load

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"time"

	"domainpark/listeners"
	"domainpark/query"
)

// echo answers every query with itself, NOERROR, or REFUSED when its last byte says so.
type echo struct{}

const refusedClass = 9

func (echo) Resolve(dst []byte, q *query.Query) []byte {
	n := len(dst)
	dst = append(dst, q.Message...)
	dst[n+2] |= 0x80
	if dst[len(dst)-1] == refusedClass {
		dst[n+3] |= 5
	}
	return dst
}

// question is a query of which only the header and the length matter.
func question(class byte) []byte {
	return append([]byte{0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0}, "\x07example\x03com\x00\x00\x10\x00"+string(class)...)
}

// serve runs a server of every transport.
func serve(t *testing.T) map[string]netip.AddrPort {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, of, of, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	any := []string{"127.0.0.1:0"}
	set, err := listeners.Bind(listeners.Config{UDP: any, TCP: any, DoT: any, DoH: any, DoQ: any, Workers: 1, Log: slog.New(slog.DiscardHandler),
		TLS: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}}}}, echo{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error)
	go func() { served <- set.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	at := map[string]netip.AddrPort{}
	for _, b := range set.Bound() {
		at[b.Transport] = netip.MustParseAddrPort(b.Addr.String())
	}
	return at
}

func TestEveryTransportIsAsked(t *testing.T) {
	at := serve(t)
	for _, transport := range Transports {
		c := Config{Transport: transport, Server: at[strings.TrimPrefix(transport, "new-")], ServerName: "ns1.park.example",
			Queries: [][]byte{question(1)}, Connections: 3, Window: 10, Duration: 100 * time.Millisecond}
		r, err := Run(t.Context(), c)
		if err != nil || r.Answers == 0 || r.Lost > 0 || r.Wrong > 0 || r.Resumed > 0 || r.Latency.Half == 0 || r.Latency.P999 < r.Latency.Half {
			t.Errorf("%s: %+v, %v", transport, r, err)
		}
		c.Queries = [][]byte{question(refusedClass)}
		if r, err := Run(t.Context(), c); err == nil || r.Wrong == 0 {
			t.Errorf("%s, errors alone: %+v, %v", transport, r, err)
		}
	}
}

func TestResumedConnections(t *testing.T) {
	at := serve(t)
	for _, transport := range []string{"new-dot", "new-doh", "new-doq"} {
		c := Config{Transport: transport, Server: at[strings.TrimPrefix(transport, "new-")], ServerName: "ns1.park.example",
			Queries: [][]byte{question(1)}, Connections: 1, Window: 1, Duration: 100 * time.Millisecond, Resume: true}
		if r, err := Run(t.Context(), c); err != nil || r.Lost > 0 || r.Wrong > 0 || r.Resumed < r.Answers-1 {
			t.Errorf("%s: %+v, %v", transport, r, err)
		}
	}
}

func TestOpenLoopKeepsItsRate(t *testing.T) {
	at := serve(t)
	c := Config{Transport: "udp", Server: at["udp"], Queries: [][]byte{question(1)}, Connections: 3, Window: 1, Duration: 200 * time.Millisecond, Rate: 5000}
	r, err := Run(t.Context(), c)
	// A machine that has no time sends late, never more.
	if err != nil || r.Answers == 0 || r.Answers > 1000 || r.Lost > 0 || r.Wrong > 0 || r.Latency.Half == 0 {
		t.Errorf("%+v, %v", r, err)
	}
	c.Transport = "tcp"
	if _, err := Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "rate 5000") {
		t.Error(err)
	}
}

func TestNobodyElseIsAsked(t *testing.T) {
	c := Config{Transport: "udp", Server: netip.MustParseAddrPort("192.0.2.1:53"), Queries: [][]byte{question(1)}, Connections: 1, Window: 1, Duration: time.Second}
	if _, err := Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "expected a loopback address") {
		t.Error(err)
	}
}

func TestHistogramIsAtMostAnEighthTooHigh(t *testing.T) {
	for _, d := range []time.Duration{1, 5, 7, 8, 9, 15, 16, 17, 100, 1000, 12345, 1 << 20, 1<<21 - 1} {
		d *= time.Microsecond
		var h histogram
		h.note(d)
		if got := h.latency().Half; got <= d || got > d+max(d/8, time.Microsecond) {
			t.Errorf("%s is counted as %s", d, got)
		}
	}
	var h histogram
	for i := range 1000 {
		h.note(time.Duration(i) * time.Microsecond)
	}
	if l := h.latency(); l.Half < 500*time.Microsecond || l.Half > 570*time.Microsecond || l.P99 < 990*time.Microsecond || l.P999 < l.P99 {
		t.Error(l)
	}
}
