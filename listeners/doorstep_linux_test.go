package listeners

import (
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"domainpark/query"
)

// accepted is a TCP connection on which sent has arrived, and its client.
func accepted(t *testing.T, sent []byte) (here *net.TCPConn, client net.Conn) {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client = dial(t, "tcp", l.Addr().String())
	write(t, client, sent)
	if here, err = l.AcceptTCP(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { here.Close() })
	raw, err := here.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	look := make([]byte, len(sent)+1)
	raw.Read(func(fd uintptr) bool {
		n, _, _ := unix.Recvfrom(int(fd), look, unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return n == len(sent)
	})
	return here, client
}

func TestWhoMakesTooManyHandshakesIsSentAwayAtTheDoorstep(t *testing.T) {
	hello := helloOf(t, clientTLS())
	for _, c := range []struct {
		name string
		sent []byte
		full int
		paid toll
		ok   bool
		want []string
	}{
		{"a hello that may go on", hello, 1, tollFull, true, []string{"handshake"}},
		{"one too many", hello, 0, tollFull, false, []string{"handshake"}},
		{"half a hello", hello[:len(hello)/2], 0, tollNone, true, nil},
		{"no hello", []byte("GET / HTTP/1.1\r\n\r\n"), 0, tollNone, true, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLedger()
			l.full = c.full
			here, client := accepted(t, c.sent)
			raw, err := here.SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			var at doorstep
			arrived, paid, ok := at.meet(raw, l, netip.MustParseAddr("127.0.0.1"))
			if string(arrived) != string(c.sent) || paid != c.paid || ok != c.ok {
				t.Errorf("%d bytes, paid %d, ok %v; want %d, %d, %v", len(arrived), paid, ok, len(c.sent), c.paid, c.ok)
			}
			l.expect(t, c.name, c.want...)
			here.Close()
			client.SetDeadline(time.Now().Add(5 * time.Second))
			said, err := io.ReadAll(client)
			if err != nil || !ok && string(said) != string(tooMany) || ok && len(said) > 0 {
				t.Errorf("the client hears %x, %v", said, err)
			}
		})
	}
}

// A panic where connections are accepted costs the one at hand: it is closed, and
// its account with it.
func TestPanicAtTheDoorstepGivesTheAccountBack(t *testing.T) {
	hello := helloOf(t, clientTLS())
	for _, call := range []string{"Handshake", "Close"} {
		h := &hazard{ledger: newLedger()}
		h.full = 0
		cfg := webConfig()
		cfg.Connections, cfg.faults = h, new(faults)
		cfg.faults.log = cfg.Log
		s := newStreams(nil, query.DoT, &cfg, mirror)
		s.secure = func(net.Conn) *tls.Conn { return nil }
		here, client := accepted(t, hello)
		h.arm(call)
		s.start(here)
		if h.open() != 0 || len(h.accounts()) != 1 || cfg.faults.count.Load() != 1 || len(s.open) != 0 {
			t.Errorf("%s: %d accounts of %d are open, %d faults", call, h.open(), len(h.accounts()), cfg.faults.count.Load())
		}
		client.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.ReadAll(client); err != nil && isTimeout(err) {
			t.Errorf("%s: the connection is still open", call)
		}
		s.running.Wait()
	}
}

// A client of crypto/tls reads the alert as the one that crypto/tls would send.
func TestTheDoorstepsAlertIsUnderstood(t *testing.T) {
	l := newLedger()
	l.full = 0
	s := dotWith(t, l, 1)
	c := tls.Client(dial(t, "tcp", s.addrOf(t, "dot")), clientTLS())
	defer c.Close()
	const want = "remote error: tls: internal error"
	if err := c.Handshake(); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// A handshake whose hello was there when it was accepted ends by its deadline too.
func TestAHandshakeThatStallsBehindItsHelloEnds(t *testing.T) {
	cfg := webConfig()
	cfg.Timeouts.Handshake = 20 * time.Millisecond
	cfg = cfg.withDefaults()
	s := newStreams(nil, query.DoT, &cfg, mirror)
	s.secure = func(raw net.Conn) *tls.Conn { return tls.Server(raw, dotConfig(cfg.TLS)) }
	here, client := accepted(t, helloOf(t, clientTLS("dot")))
	s.start(here)
	client.SetDeadline(time.Now().Add(5 * time.Second))
	if said, err := io.ReadAll(client); err != nil || len(said) == 0 {
		t.Errorf("%d bytes, %v; want the server's part, and the end", len(said), err)
	}
}

// The deadline of a handshake is not that of what is written later: who takes
// answers slowly is waited for as long as without TLS.
func TestWritesBehindAHandshakeHaveTimeOfTheirOwn(t *testing.T) {
	cfg := webConfig()
	cfg = cfg.withDefaults()
	s := newStreams(nil, query.DoT, &cfg, mirror)
	s.secure = func(raw net.Conn) *tls.Conn { return tls.Server(raw, dotConfig(cfg.TLS)) }
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	shaken := make(chan error, 1)
	client := tls.Client(dial(t, "tcp", l.Addr().String()), clientTLS("dot"))
	go func() { shaken <- client.Handshake() }()
	here, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	c := &stream{server: s, raw: newSocket(here, s.timeouts().Write), client: remote(here)}
	if !c.greet(&s.doorstep) || !c.handshake() {
		t.Fatal("no handshake")
	}
	if err := <-shaken; err != nil {
		t.Fatal(err)
	}
	if !c.raw.writeBy.IsZero() {
		t.Errorf("a write that has to wait ends at %s, the handshake's deadline", c.raw.writeBy)
	}
}
