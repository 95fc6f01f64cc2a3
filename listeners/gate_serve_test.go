package listeners

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"domainpark/query"
)

// gateServer serves TCP, DoT and DoH with one place at the gate. When it is shut, that
// one is taken, and no lease ends.
func gateServer(t *testing.T, shut bool, change func(*Config)) *running {
	t.Helper()
	cfg := webConfig()
	cfg.TCP, cfg.DoT, cfg.DoH = []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}
	if change != nil {
		change(&cfg)
	}
	s := start(t, cfg, mirror)
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	s.gate.cpus, s.gate.cost = 1, mostDelay
	if shut {
		s.gate.cost = time.Hour
		s.gate.inside.add(visitorOf(s.gate, 1, time.Hour), time.Now())
	}
	return s
}

// reopen gives back what gateServer has taken.
func (s *running) reopen() {
	s.gate.mu.Lock()
	p := s.gate.inside.front
	s.gate.mu.Unlock()
	s.gate.leave(p)
}

// awaitWaiting returns when so many handshakes wait.
func (s *running) awaitWaiting(t *testing.T, n int) {
	t.Helper()
	settled(t, "handshakes are missing", 0, func() int {
		s.gate.mu.Lock()
		defer s.gate.mu.Unlock()
		return n - s.gate.waiting()
	})
}

var gateALPN = map[string]string{"dot": "dot", "doh": "h2"}

// shake begins a handshake, and tells how it ends.
func (s *running) shake(t *testing.T, transport string) (c net.Conn, ends chan error) {
	t.Helper()
	c = dial(t, "tcp", s.addrOf(t, transport))
	ends = make(chan error, 1)
	go func() { ends <- tls.Client(c, clientTLS(gateALPN[transport])).Handshake() }()
	return c, ends
}

func TestHandshakesWaitAtTheGateAndQueriesDoNot(t *testing.T) {
	for transport := range gateALPN {
		t.Run(transport, func(t *testing.T) {
			s := gateServer(t, true, nil)
			c, ends := s.shake(t, transport)
			s.awaitWaiting(t, 1)
			plain := dial(t, "tcp", s.addrOf(t, "tcp"))
			for id := range uint16(100) {
				write(t, plain, framed(testMessage(id, 40)))
				expectAnswer(t, plain, testMessage(id, 40))
			}
			select {
			case err := <-ends:
				t.Fatalf("the handshake did not wait: %v", err)
			default:
			}
			s.reopen()
			if err := <-ends; err != nil {
				t.Error(err)
			}
			c.Close()
			s.stop(t)
			expectOpen(t, s.gate)
		})
	}
}

// A client that stalls in the middle of its handshake has no place.
func TestHandshakesThatStallHoldNoPlace(t *testing.T) {
	for transport, alpn := range gateALPN {
		hello := helloOf(t, clientTLS(alpn))
		body := hello[recordHeaderBytes:]
		half := binary.BigEndian.AppendUint16(slices.Clone(hello[:3]), uint16(len(body)/2))
		for said, stalls := range map[string]func(net.Conn){
			"half a hello, in a record of its own": func(c net.Conn) { write(t, c, append(half, body[:len(body)/2]...)) },
			"a hello, and nothing more": func(c net.Conn) {
				write(t, c, hello)
				if n, err := c.Read(make([]byte, 1)); n == 0 {
					t.Fatal(err) // the server has had its part
				}
			},
		} {
			t.Run(transport+", "+said, func(t *testing.T) {
				s := gateServer(t, false, nil)
				s.gate.mu.Lock()
				s.gate.cost = time.Hour
				s.gate.mu.Unlock()
				for range 3 {
					stalls(dial(t, "tcp", s.addrOf(t, transport)))
				}
				dialTLS(t, s.addrOf(t, transport), alpn).Close()
			})
		}
	}
}

func TestHandshakesThatFailGiveTheirPlaceBack(t *testing.T) {
	for transport, alpn := range gateALPN {
		t.Run(transport, func(t *testing.T) {
			s := gateServer(t, false, nil)
			s.gate.mu.Lock()
			s.gate.cost = time.Hour // a place that is lost is lost for good
			s.gate.mu.Unlock()
			addr := s.addrOf(t, transport)
			for range 3 {
				c := tls.Client(dial(t, "tcp", addr), clientTLS("nobody-speaks-this"))
				if c.Handshake() == nil {
					t.Error("a handshake without a common protocol succeeds")
				}
				write(t, dial(t, "tcp", addr), []byte("GET / HTTP/1.1\r\n\r\n"))
				gone := dial(t, "tcp", addr)
				write(t, gone, clientHello(t))
				gone.Close()
			}
			dialTLS(t, addr, alpn).Close()
			s.stop(t)
			expectOpen(t, s.gate)
		})
	}
}

// A panic below crypto/tls, and what a hello asks for that is far away.
func TestCertificatesThatPanicOrComeFromFarAwayKeepNobodyOut(t *testing.T) {
	for transport, alpn := range gateALPN {
		t.Run(transport, func(t *testing.T) {
			asked, answer := make(chan struct{}), make(chan struct{})
			s := gateServer(t, false, func(cfg *Config) {
				cert := &cfg.TLS.Certificates[0]
				cfg.TLS.Certificates = nil
				cfg.TLS.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
					switch hello.ServerName {
					case "panics.example":
						panic("no certificate")
					case "far.example":
						close(asked)
						<-answer
					}
					return cert, nil
				}
			})
			named := func(name string) error {
				config := clientTLS(alpn)
				config.ServerName, config.InsecureSkipVerify = name, true
				return tls.Client(dial(t, "tcp", s.addrOf(t, transport)), config).Handshake()
			}
			if named("panics.example") == nil {
				t.Error("a handshake whose certificate panics succeeds")
			}
			far := make(chan error, 1)
			go func() { far <- named("far.example") }()
			<-asked
			dialTLS(t, s.addrOf(t, transport), alpn).Close()
			close(answer)
			if err := <-far; err != nil {
				t.Error(err)
			}
			s.stop(t)
			expectOpen(t, s.gate)
		})
	}
}

// expectNotComputed looks what becomes of a handshake that end reaches while it waits.
func expectNotComputed(t *testing.T, transport string, end func(net.Conn, *ledger), want error) {
	t.Helper()
	var log logBuffer
	l := newLedger()
	s := gateServer(t, true, func(cfg *Config) {
		cfg.Connections = l
		cfg.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	conn, ends := s.shake(t, transport)
	s.awaitWaiting(t, 1)
	end(conn, l)
	if err := <-ends; err == nil {
		t.Error("the handshake succeeds")
	}
	s.reopen()
	settled(t, "open connections", 0, l.open)
	s.stop(t)
	if !strings.Contains(log.String(), want.Error()) {
		t.Errorf("the log does not say %q:\n%s", want, log.String())
	}
	expectOpen(t, s.gate)
}

// Nothing is computed, nor waited for, on a connection that has made room.
func TestConnectionsThatMakeRoomWhileTheyWaitAreNotComputed(t *testing.T) {
	for transport := range gateALPN {
		t.Run(transport, func(t *testing.T) {
			expectNotComputed(t, transport, func(_ net.Conn, l *ledger) { l.opened[0].evict() }, errBarred)
		})
	}
}

// A server that stops does not wait for those that wait.
func TestHandshakesThatWaitAreBrokenOffWithTheServer(t *testing.T) {
	for transport := range gateALPN {
		t.Run(transport, func(t *testing.T) {
			s := gateServer(t, true, func(cfg *Config) {
				cfg.Timeouts.Handshake = 100 * patience // they may wait for a third of it
				cfg.Timeouts.Shutdown = 10 * time.Millisecond
			})
			_, ends := s.shake(t, transport)
			s.awaitWaiting(t, 1)
			s.stop(t)
			if err := <-ends; err == nil {
				t.Error("the handshake succeeds")
			}
		})
	}
}

// Who is turned away hears an alert, is counted, and stays charged.
func TestWhoIsTurnedAwayIsToldAndCounted(t *testing.T) {
	for transport, kind := range map[string]query.Transport{"dot": query.DoT, "doh": query.DoH} {
		t.Run(transport, func(t *testing.T) {
			l := newLedger()
			s := gateServer(t, true, func(cfg *Config) { cfg.Connections = l })
			s.gate.mu.Lock()
			s.gate.queued = 0
			s.gate.mu.Unlock()
			_, ends := s.shake(t, transport)
			const want = "remote error: tls: internal error"
			if err := <-ends; err == nil || err.Error() != want {
				t.Errorf("%v, want %s", err, want)
			}
			if n := s.TurnedAway(kind); n != 1 {
				t.Errorf("%d were turned away, want 1", n)
			}
			l.expect(t, "at the hello", "open", "handshake")
			settled(t, "open connections", 0, l.open)
		})
	}
}

// The kernel keeps what no crowd has room for.
func TestConnectionsAreAcceptedAgainWhenTheCrowdHasGone(t *testing.T) {
	for transport := range gateALPN {
		t.Run(transport, func(t *testing.T) {
			s := gateServer(t, true, nil)
			s.gate.mu.Lock()
			s.gate.crowd = 1
			s.gate.mu.Unlock()
			var all []chan error
			for range 4 {
				_, ends := s.shake(t, transport)
				all = append(all, ends)
			}
			s.awaitWaiting(t, 1)
			if s.HandshakesWaiting() == 0 {
				t.Error("no handshake waits, it says")
			}
			s.reopen()
			for _, ends := range all {
				if err := <-ends; err != nil && !errors.Is(err, net.ErrClosed) {
					t.Error(err)
				}
			}
		})
	}
}

// An address that goes while a crowd waits is not accepted from until its time is over.
func TestACrowdKeepsNoAddressThatGoes(t *testing.T) {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := webConfig().withDefaults()
	cfg.gate = gateOf(1)
	cfg.gate.crowd = 0
	below := &lingeringSocket{TCPListener: l, drains: make(chan struct{}), accepts: func() time.Duration { return 0 }}
	accounts := unlimited{time.Hour}
	s := newTLSSocket(accountedSocket{below, accounts, &cfg}, charged(withHTTP(cfg.TLS), accounts))
	ended := make(chan error, 1)
	go func() { ended <- s.acceptAll() }()
	below.drain(time.Now().Add(time.Hour))
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("it is accepted from for as long as there is a crowd")
	}
}
