package listeners

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"domainpark/query"
)

// hazard is a ledger that panics in one of its calls.
type hazard struct {
	*ledger
	in atomic.Pointer[string] // nil: in none
}

func (h *hazard) arm(call string) { h.in.Store(&call) }

func (h *hazard) disarm() { h.in.Store(nil) }

func (h *hazard) pass(call string) {
	if in := h.in.Load(); in != nil && *in == call {
		panic("hazard in " + call)
	}
}

func (h *hazard) Open(now time.Time, addr netip.Addr, evict func()) Connection {
	h.pass("Open")
	return hazardAccount{h.ledger.Open(now, addr, evict), h}
}

func (h *hazard) Handshake(now time.Time, addr netip.Addr) bool {
	h.pass("Handshake")
	return h.ledger.Handshake(now, addr)
}

func (h *hazard) Newcomer(now time.Time, addr netip.Addr) bool {
	h.pass("Newcomer")
	return h.ledger.Newcomer(now, addr)
}

func (h *hazard) Idle() time.Duration {
	h.pass("Idle")
	return h.ledger.Idle()
}

type hazardAccount struct {
	Connection
	hazard *hazard
}

func (a hazardAccount) Touch(now time.Time) bool {
	more := a.Connection.Touch(now)
	a.hazard.pass("Touch")
	return more
}

func (a hazardAccount) Close() {
	a.Connection.Close()
	a.hazard.pass("Close")
}

// awaitFault waits until s has noted a fault.
func awaitFault(t *testing.T, s *running) {
	t.Helper()
	settled(t, "faults are missing", 0, func() int { return 1 - int(min(1, s.Faults())) })
}

// DESIGN §6 asks that a panic costs one query. Outside the resolver it may cost
// the connection, and nothing else: neither the process nor the place that the
// connection had.
func TestPanicOutsideTheResolverCostsThatConnectionOnly(t *testing.T) {
	for _, kind := range quotaKinds {
		for _, call := range []string{"Open", "Handshake", "Touch", "Close"} {
			if call == "Handshake" && kind == "tcp" {
				continue
			}
			t.Run(kind+"/"+call, func(t *testing.T) {
				h := &hazard{ledger: newLedger()}
				cfg := webConfig()
				cfg.Connections = h
				cfg.TCP, cfg.DoT, cfg.DoQ, cfg.DoH = []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}
				s := start(t, cfg, mirror)

				h.arm(call)
				ask, end := s.client(t, kind)
				if err := ask(); (err == nil) != (call == "Close") {
					t.Errorf("got %v", err)
				}
				if call == "Close" {
					end()
				}
				settled(t, "open connections", 0, h.open)
				awaitFault(t, s)
				h.disarm()

				ask, end = s.client(t, kind)
				if err := ask(); err != nil {
					t.Errorf("another connection afterwards: %v", err)
				}
				end()
				settled(t, "open connections", 0, h.open)
				if n := largeMessages.Load(); n != 0 {
					t.Errorf("%d large messages are still counted", n)
				}
			})
		}
	}
}

func TestPanicOfAnAccountDoesNotEndQUIC(t *testing.T) {
	h := &hazard{ledger: newLedger()}
	cfg := webConfig()
	cfg.Connections, cfg.DoQ = h, []string{"127.0.0.1:0"}
	s := start(t, cfg, mirror)
	for _, call := range []string{"Newcomer", "Idle"} {
		h.arm(call)
		ask, end := s.client(t, "doq")
		_ = ask() // Retry lets it in, or it has no time left
		end()
		awaitFault(t, s)
		s.faults.count.Store(0)
		h.disarm()
		ask, end = s.client(t, "doq")
		if err := ask(); err != nil {
			t.Errorf("after a panic in %s: %v", call, err)
		}
		end()
	}
	settled(t, "open connections", 0, h.open)
}

func TestPanicOfACertificateEndsThatHandshakeOnly(t *testing.T) {
	for _, kind := range quotaKinds[1:] {
		t.Run(kind, func(t *testing.T) {
			cfg := webConfig()
			cert, faulty := cfg.TLS.Certificates[0], new(atomic.Bool)
			cfg.TLS = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
				if faulty.Load() {
					panic("no certificate")
				}
				return &cert, nil
			}}
			cfg.DoT, cfg.DoQ, cfg.DoH = []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}
			s := start(t, cfg, mirror)
			faulty.Store(true)
			ask, _ := s.client(t, kind)
			if ask() == nil {
				t.Error("got an answer without a certificate")
			}
			awaitFault(t, s)
			faulty.Store(false)
			ask, end := s.client(t, kind)
			if err := ask(); err != nil {
				t.Error(err)
			}
			end()
		})
	}
}

func TestPanicOfThePageEndsThatRequestOnly(t *testing.T) {
	for _, version := range webVersions {
		t.Run(version, func(t *testing.T) {
			cfg := webConfig()
			cfg.DoH = []string{"127.0.0.1:0"}
			cfg.Page = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("no page") })
			s := start(t, cfg, mirror)
			client := webClient(t, version)
			if res, err := client.Do(request(t, "GET", s.dohURL(t, "/"), nil)); err == nil {
				res.Body.Close()
				t.Errorf("got %s", res.Status)
			}
			awaitFault(t, s)
			if res, _ := do(t, client, request(t, "GET", s.getURL(t, plainQuery), nil)); res.StatusCode != http.StatusOK {
				t.Errorf("a query afterwards: %s", res.Status)
			}
		})
	}
}

func TestPanicOfAUDPWorkerCostsItsRoundOnly(t *testing.T) {
	eachUDP(t, []string{"127.0.0.1:0"}, 1, faulty, func(t *testing.T, s *udpServer) {
		c := dial(t, "udp", s.on("127.0.0.1"))
		if _, err := c.Write(testMessage(1, 13)); err != nil {
			t.Fatal(err)
		}
		// The next query may have come in the same round: it is asked until it is not.
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		want, got := testMessage(2, 12), make([]byte, 100)
		for range 20 {
			if _, err := c.Write(want); err != nil {
				t.Fatal(err)
			}
			n, err := c.Read(got)
			if err == nil {
				if !bytes.Equal(got[:n], answerTo(want)) {
					t.Errorf("got %x", got[:n])
				}
				return
			}
			_ = c.SetReadDeadline(time.Now().Add(time.Second))
		}
		t.Error("no answer after a panic")
	})
}

// lost is a listener whose loop panics.
type lost struct{ listener }

func (lost) serve(context.Context) error { panic("lost") }
func (lost) addr() net.Addr              { return &net.TCPAddr{} }

func TestPanicOfALoopEndsTheSetInOrder(t *testing.T) {
	set, err := Bind(Config{TCP: []string{"127.0.0.1:0"}, Log: slog.New(slog.DiscardHandler)}, mirror)
	if err != nil {
		t.Fatal(err)
	}
	set.sites[0].entries = append(set.sites[0].entries, entry{"udp", lost{}})
	done := make(chan error, 1)
	go func() { done <- set.Serve(t.Context()) }()
	select {
	case err := <-done:
		if err == nil || !strings.Contains(err.Error(), "panic: lost") {
			t.Errorf("got %v, want the panic", err)
		}
	case <-time.After(patience):
		t.Fatal("Serve did not return")
	}
	if set.Faults() != 1 {
		t.Errorf("%d faults, want 1", set.Faults())
	}
}

func TestFaultsAreLoggedOnceAPeriod(t *testing.T) {
	var log logBuffer
	f := &faults{log: slog.New(slog.NewTextHandler(&log, nil))}
	for range 3 {
		f.note(errors.New("oh"), query.DoT.String(), netip.MustParseAddrPort("192.0.2.1:53"))
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || f.count.Load() != 3 {
		t.Errorf("%d faults, logged:\n%s", f.count.Load(), got)
	}
	for _, want := range []string{"panic=oh", "transport=dot", "client=192.0.2.1:53", "faults_test.go"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %s: %s", want, log.String())
		}
	}
}
