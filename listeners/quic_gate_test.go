package listeners

import (
	"context"
	"crypto/tls"
	"errors"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"domainpark/query"
)

// quicGateServer serves DoQ and DoH with one place for QUIC, whose lease does not end. When
// it is shut, that one is taken.
func quicGateServer(t *testing.T, shut bool, change func(*Config)) *running {
	t.Helper()
	cfg := webConfig()
	cfg.DoQ, cfg.DoH = []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}
	if change != nil {
		change(&cfg)
	}
	s := start(t, cfg, mirror)
	s.quicGate.mu.Lock()
	defer s.quicGate.mu.Unlock()
	s.quicGate.cpus, s.quicGate.cost = 1, time.Hour
	if shut {
		s.quicGate.inside.add(visitorOf(s.quicGate, 1, time.Hour), time.Now())
	}
	return s
}

// shakeQUIC makes a connection that lives for as long as the test.
func (s *running) shakeQUIC(t *testing.T, transport string, config *tls.Config) error {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := quic.DialAddr(ctx, s.addrOf(t, transport), config, nil)
	if err == nil {
		t.Cleanup(func() { _ = c.CloseWithError(0, "") })
	}
	return err
}

var quicGateALPN = map[string]string{"doq": "doq", "doh3": "h3"}

func TestQUICHandshakesWaitForAPlace(t *testing.T) {
	for transport, alpn := range quicGateALPN {
		t.Run(transport, func(t *testing.T) {
			s := quicGateServer(t, true, nil)
			ends := make(chan error, 1)
			go func() { ends <- s.shakeQUIC(t, transport, clientTLS(alpn)) }()
			settled(t, "handshakes are missing", 0, func() int { return 1 - s.HandshakesWaiting() })
			select {
			case err := <-ends:
				t.Fatalf("the handshake did not wait: %v", err)
			default:
			}
			s.quicGate.mu.Lock()
			stuck := s.quicGate.inside.front
			s.quicGate.mu.Unlock()
			s.quicGate.leave(stuck)
			if err := <-ends; err != nil {
				t.Error(err)
			}
			s.stop(t)
			expectOpen(t, s.quicGate)
		})
	}
}

// TestQUICHandshakesGiveTheirPlaceBack: when their flight is computed, and when it never is.
func TestQUICHandshakesGiveTheirPlaceBack(t *testing.T) {
	for transport, alpn := range quicGateALPN {
		t.Run(transport, func(t *testing.T) {
			s := quicGateServer(t, false, nil)
			for range 3 {
				if s.shakeQUIC(t, transport, clientTLS("nobody-speaks-this")) == nil {
					t.Error("a handshake without a common protocol succeeds")
				}
				if err := s.shakeQUIC(t, transport, clientTLS(alpn)); err != nil {
					t.Error(err)
				}
			}
			s.stop(t)
			expectOpen(t, s.quicGate)
		})
	}
}

func TestQUICHandshakesThatAreTurnedAwayAreCounted(t *testing.T) {
	for transport, kind := range map[string]query.Transport{"doq": query.DoQ, "doh3": query.DoH3} {
		t.Run(transport, func(t *testing.T) {
			s := quicGateServer(t, true, nil)
			s.quicGate.mu.Lock()
			s.quicGate.queued = 0
			s.quicGate.mu.Unlock()
			if s.shakeQUIC(t, transport, clientTLS(quicGateALPN[transport])) == nil {
				t.Error("the handshake succeeds")
			}
			if n := s.TurnedAway(kind); n != 1 {
				t.Errorf("%d were turned away, want 1", n)
			}
		})
	}
}

// A client that has to say its hello again decides how long that takes.
func TestFlightsThatWaitForTheirClientTeachNothing(t *testing.T) {
	for name, c := range map[string]struct {
		server tls.CurveID
		learns bool
	}{"one hello": {tls.X25519, true}, "two": {tls.CurveP256, false}} {
		t.Run(name, func(t *testing.T) {
			s := quicGateServer(t, false, func(cfg *Config) {
				cfg.TLS = cfg.TLS.Clone()
				cfg.TLS.CurvePreferences = []tls.CurveID{c.server}
			})
			config := clientTLS("doq")
			config.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256}
			if err := s.shakeQUIC(t, "doq", config); err != nil {
				t.Fatal(err)
			}
			s.stop(t)
			expectOpen(t, s.quicGate)
			if learnt := s.quicGate.cost != time.Hour; learnt != c.learns {
				t.Errorf("the gate has learnt: %v, want %v", learnt, c.learns)
			}
		})
	}
}

// One that resumes a session has no signature, and its client may make many of them.
func TestHandshakesThatResumeTeachNothing(t *testing.T) {
	s := quicGateServer(t, false, nil)
	m := newRemembering()
	m.visit(t, s.addrOf(t, "doq"))
	s.quicGate.mu.Lock()
	s.quicGate.cost = time.Hour
	s.quicGate.mu.Unlock()
	c := dialQUIC(t, s.addrOf(t, "doq"), m.tls(), nil)
	expectDoQAnswer(t, c, plainQuery)
	if !c.ConnectionState().TLS.DidResume {
		t.Error("it resumes no session")
	}
	s.stop(t)
	expectOpen(t, s.quicGate)
	if s.quicGate.cost != time.Hour {
		t.Error("the gate has learnt")
	}
}

// A server that stops, or gives up an address, does not wait for those that wait, and tells
// their clients.
func TestQUICHandshakesThatWaitAreBrokenOffWithTheirListener(t *testing.T) {
	const waiting = 5
	for transport, alpn := range quicGateALPN {
		for name, end := range map[string]func(*testing.T, *running){
			"the server stops": func(t *testing.T, s *running) { s.stop(t) },
			"the address goes": func(t *testing.T, s *running) {
				cfg := *s.latest.Load()
				cfg.DoQ, cfg.DoH = nil, nil
				change, err := s.Prepare(cfg)
				if err != nil {
					t.Fatal(err)
				}
				gone := s.sites
				change.Apply()
				for _, p := range gone {
					select {
					case <-p.done:
					case <-time.After(patience):
						t.Fatal("the address is still served")
					}
				}
			},
		} {
			t.Run(transport+"/"+name, func(t *testing.T) {
				s := quicGateServer(t, true, func(cfg *Config) {
					cfg.Timeouts.Handshake = 100 * patience // they may wait for a third of it
					cfg.Timeouts.Shutdown = 10 * time.Millisecond
				})
				ends := make(chan error, waiting)
				for range waiting {
					go func() { ends <- s.shakeQUIC(t, transport, clientTLS(alpn)) }()
				}
				settled(t, "handshakes are missing", 0, func() int { return waiting - s.HandshakesWaiting() })
				end(t, s)
				if n := s.HandshakesWaiting(); n > 0 {
					t.Errorf("%d handshakes wait still", n)
				}
				for range waiting {
					err := <-ends
					if refused, ok := errors.AsType[*quic.TransportError](err); !ok || !refused.Remote {
						t.Errorf("got %v, want a refusal", err)
					}
				}
			})
		}
	}
}
