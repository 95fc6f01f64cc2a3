package listeners

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// lingeringPair is a connection of a lingering socket, and its client's end.
func lingeringPair(t *testing.T, s *lingeringSocket) (here net.Conn, client *net.TCPConn) {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	here, err = s.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { here.(*lingeringConn).TCPConn.Close() })
	return here, c.(*net.TCPConn)
}

// TestLingeringIsWaitedForAndThenOver: who closes beside the wait, as HTTP/2
// connections do, either lingers and is waited for, or is closed at once.
func TestLingeringIsWaitedForAndThenOver(t *testing.T) {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := &lingeringSocket{TCPListener: l, accepts: func() time.Duration { return 0 }}
	const many = 20
	var here []net.Conn
	var clients []*net.TCPConn
	for range many {
		h, c := lingeringPair(t, s)
		here, clients = append(here, h), append(clients, c)
	}
	s.drain(time.Now().Add(patience))
	here[0].Close()
	waited := make(chan struct{})
	go func() {
		s.wait()
		close(waited)
	}()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		for _, c := range here[1 : many-1] {
			c.Close()
		}
	}()
	<-closed
	select {
	case <-waited:
		t.Fatal("a connection lingers, and was not waited for")
	default:
	}
	for _, c := range clients[:many-1] {
		if n, err := io.Copy(io.Discard, c); n > 0 || err != nil {
			t.Errorf("%d bytes, %v, want the end", n, err)
		}
		c.CloseWrite()
	}
	<-waited
	late := here[many-1]
	if err := late.Close(); err != nil {
		t.Error(err)
	}
	if err := late.SetDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a connection lingers that nobody waits for: %v", err)
	}
	for _, c := range here {
		if err := c.Close(); err != net.ErrClosed {
			t.Errorf("closed twice: %v", err)
		}
	}
}
