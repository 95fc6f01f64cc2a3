package listeners

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/net/nettest"
	"golang.org/x/sys/unix"
)

// directPair are both ends of a connection, the first one direct.
func directPair(t testing.TB) (*directConn, *net.TCPConn) {
	t.Helper()
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.DialTCP("tcp4", nil, l.Addr().(*net.TCPAddr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	c, err := l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return direct(c), client
}

func TestDirectConnIsAConn(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		here, client := directPair(t)
		return here, client, func() { here.Close(); client.Close() }, nil
	})
}

// TestDirectConnErrorsAreThoseOfNet: net/http is silent about some, by their Op.
func TestDirectConnErrorsAreThoseOfNet(t *testing.T) {
	here, client := directPair(t)
	if n, err := here.Write(nil); n != 0 || err != nil {
		t.Errorf("writing nothing: got %d, %v", n, err)
	}
	if err := here.SetDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	full := make([]byte, 8<<20) // more than any socket holds
	for op, transfer := range map[string]func() (int, error){
		"read":  func() (int, error) { return here.Read(make([]byte, 1)) },
		"write": func() (int, error) { return here.Write(full) },
	} {
		_, err := transfer()
		if e, ok := errors.AsType[*net.OpError](err); !ok || e.Op != op || !e.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s after its deadline: got %v", op, err)
		}
	}
	if err := here.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	_ = client.SetLinger(0) // so that closing resets
	client.Close()
	_, err := here.Read(make([]byte, 1))
	if e, ok := errors.AsType[*net.OpError](err); !ok || e.Op != "read" || !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("reading from a connection that was reset: got %v", err)
	}
	if _, err := here.Write(full); !errors.Is(err, unix.EPIPE) {
		t.Errorf("writing to it: got %v", err)
	}
}

// TestDirectConnTellsHowMuchItWrote is for a write that its deadline cuts off.
func TestDirectConnTellsHowMuchItWrote(t *testing.T) {
	here, client := directPair(t)
	full := make([]byte, 64<<20)
	begun := make(chan struct{})
	go func() {
		_, _ = client.Read(make([]byte, 1))
		close(begun)
		_ = here.SetWriteDeadline(time.Unix(1, 0))
	}()
	n, err := here.Write(full)
	<-begun
	if n <= 0 || n >= len(full) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("wrote %d of %d: %v", n, len(full), err)
	}
}

func TestDirectConnMovesBytesWithoutAllocations(t *testing.T) {
	here, client := directPair(t)
	p := make([]byte, 64)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := client.Write(p); err != nil {
			t.Fatal(err)
		}
		if _, err := here.Read(p); err != nil {
			t.Fatal(err)
		}
		if _, err := here.Write(p); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Read(p); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
