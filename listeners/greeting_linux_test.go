package listeners

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// threshold is DoH's socket, which accepts what a test hands it.
func threshold(t *testing.T, accounts Connections) *tlsSocket {
	t.Helper()
	cfg := webConfig()
	cfg.Connections, cfg.faults = accounts, new(faults)
	cfg = cfg.withDefaults()
	cfg.faults.log = cfg.Log
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	s := newTLSSocket(accountedSocket{&lingeringSocket{TCPListener: l}, accounts, &cfg}, charged(withHTTP(cfg.TLS), accounts))
	t.Cleanup(func() { s.Close() })
	return s
}

// accountedFor is conn as DoH's socket would accept it.
func (s *tlsSocket) accountedFor(conn *net.TCPConn) *accountedConn {
	raw := &lingeringConn{directConn: direct(conn), socket: lingeringIn(s)}
	c := &accountedConn{Conn: raw, accounts: s.accounts, faults: s.cfg.faults}
	c.open()
	return c
}

// hesitant is a client's connection whose first write is a part of it; the rest
// waits until go on is closed.
type hesitant struct {
	net.Conn
	first int // bytes; all when it is 0
	goOn  chan struct{}
}

func (c *hesitant) Write(p []byte) (int, error) {
	if c.first == 0 {
		return c.Conn.Write(p)
	}
	n, err := c.Conn.Write(p[:c.first])
	if err != nil {
		return n, err
	}
	c.first = 0
	<-c.goOn
	m, err := c.Conn.Write(p[n:])
	return n + m, err
}

// Whatever of a hello is there when its connection is accepted, its handshake is
// charged once, and crypto/tls gets every byte of it, and of what comes behind.
func TestDoHHandshakesAreChargedOnceHoweverTheirHelloArrives(t *testing.T) {
	hello := len(helloOf(t, clientTLS("http/1.1")))
	many := []string{"http/1.1"}
	for i := range 60 { // a hello above what the doorstep reads
		many = append(many, fmt.Sprintf("%0100d", i))
	}
	for name, c := range map[string]struct {
		first int
		offer []string
	}{
		"at once":              {0, []string{"http/1.1"}},
		"one byte first":       {1, []string{"http/1.1"}},
		"a record's header":    {recordHeaderBytes, []string{"http/1.1"}},
		"all but a byte":       {hello - 1, []string{"http/1.1"}},
		"long":                 {0, many},
		"long, in two parts":   {busyBytes - 1, many},
		"long, a little first": {ownBytes, many},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger()
			s := threshold(t, l)
			raw := &hesitant{dial(t, "tcp", s.Addr().String()), c.first, make(chan struct{})}
			client := tls.Client(raw, clientTLS(c.offer...))
			said := make(chan error, 1)
			go func() {
				_, err := client.Write(plainQuery)
				said <- err
			}()
			here := acceptedWith(t, s, 1)
			s.begin(s.accountedFor(here))
			close(raw.goOn)
			server := <-s.ready
			defer server.Close()
			got := make([]byte, len(plainQuery))
			if _, err := io.ReadFull(server, got); err != nil || !slices.Equal(got, plainQuery) {
				t.Errorf("got %x, %v", got, err)
			}
			if err := <-said; err != nil {
				t.Error(err)
			}
			l.expect(t, name, "open", "handshake")
			if accounted(server).greeting != nil || largeMessages.Load() != 0 {
				t.Error("the greeting is kept when it is over")
			}
		})
	}
}

// acceptedWith is a connection of s on which at least n bytes have arrived.
func acceptedWith(t *testing.T, s *tlsSocket, n int) *net.TCPConn {
	t.Helper()
	here, err := lingeringIn(s).AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := here.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	look := make([]byte, busyBytes)
	raw.Read(func(fd uintptr) bool {
		got, _, _ := unix.Recvfrom(int(fd), look, unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return got >= n
	})
	return here
}

// Who is over the limit is sent away where connections are accepted, when its hello
// is there, and otherwise as soon as it is: neither costs a handshake of crypto/tls.
func TestWhoMakesTooManyDoHHandshakesIsSentAwayAtTheDoorstep(t *testing.T) {
	hello := helloOf(t, clientTLS("h2"))
	for name, first := range map[string]int{"at the doorstep": len(hello), "later": len(hello) / 2} {
		t.Run(name, func(t *testing.T) {
			l := newLedger()
			l.full = 0
			s := threshold(t, l)
			s.config = nil // crypto/tls would panic
			here, client := accepted(t, hello[:first])
			s.begin(s.accountedFor(here))
			if first < len(hello) {
				write(t, client, hello[first:])
			} else if l.open() != 0 {
				t.Error("the connection is still open behind the doorstep")
			}
			client.SetDeadline(time.Now().Add(patience))
			if said, err := io.ReadAll(client); err != nil || string(said) != string(tooMany) {
				t.Errorf("the client hears %x, %v", said, err)
			}
			s.handshakes.Wait()
			l.expect(t, name, "open", "handshake")
			if l.open() != 0 || s.cfg.faults.count.Load() != 0 {
				t.Errorf("%d accounts are open, %d faults", l.open(), s.cfg.faults.count.Load())
			}
		})
	}
}

// A panic where connections are accepted costs the one at hand, and accepting goes on.
func TestPanicAtTheDoHDoorstepGivesTheAccountBack(t *testing.T) {
	hello := helloOf(t, clientTLS("h2"))
	for _, call := range []string{"Handshake", "Close"} {
		h := &hazard{ledger: newLedger()}
		h.full = 0
		s := threshold(t, h)
		here, client := accepted(t, hello)
		c := s.accountedFor(here)
		h.arm(call)
		s.begin(c)
		if h.open() != 0 || len(h.accounts()) != 1 || s.cfg.faults.count.Load() != 1 {
			t.Errorf("%s: %d accounts of %d are open, %d faults", call, h.open(), len(h.accounts()), s.cfg.faults.count.Load())
		}
		client.SetDeadline(time.Now().Add(patience))
		if _, err := io.ReadAll(client); err != nil && isTimeout(err) {
			t.Errorf("%s: the connection is still open", call)
		}
	}
}

// A server that ends does not wait for hellos that never come.
func TestClosingDoHBreaksOffHandshakesWithoutAHello(t *testing.T) {
	l := newLedger()
	s := threshold(t, l) // its handshakes have more time than the test
	for _, sent := range [][]byte{{recordHandshake}, clientHello(t)[:60]} {
		here, _ := accepted(t, sent)
		s.begin(s.accountedFor(here))
	}
	s.Close()
	s.handshakes.Wait()
	if l.open() != 0 {
		t.Errorf("%d connections are open", l.open())
	}
}
