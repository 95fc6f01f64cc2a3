package listeners

import (
	"bytes"
	"io"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestAWriteWithinAReadMayWait: what there is no room for at first follows when there is.
func TestAWriteWithinAReadMayWait(t *testing.T) {
	here, client := directPair(t)
	full := make(chan struct{})
	c := callsOf(here.TCPConn, sync.OnceFunc(func() { close(full) }))
	sent := bytes.Repeat([]byte("0123456789abcde"), 1<<20) // more than the kernel takes for a client that does not read
	c.onward = func(*inbox, int) (bool, error) {
		if n, err := c.write(sent); n != len(sent) || err != nil {
			t.Errorf("wrote %d of %d bytes, %v", n, len(sent), err)
		}
		return true, errAnswered
	}
	write(t, client, []byte{0})
	received := make(chan []byte)
	go func() {
		<-full
		got, _ := io.ReadAll(client)
		received <- got
	}()
	if _, err := c.receive(new(inbox)); err != errAnswered {
		t.Errorf("got %v", err)
	}
	here.Close()
	if got := <-received; !bytes.Equal(got, sent) {
		t.Errorf("%d bytes arrived, or others than the %d that were sent", len(got), len(sent))
	}
}

// TestAWriteWithinAReadWritesToItsConnection: while the read lasts, no other one gets the
// descriptor, even when the connection is closed.
func TestAWriteWithinAReadWritesToItsConnection(t *testing.T) {
	here, client := directPair(t)
	c := callsOf(here.TCPConn, func() { t.Error("a write waits") })
	closed := make(chan error, 1)
	c.onward = func(*inbox, int) (bool, error) {
		go func() { closed <- here.Close() }()
		for c.conn.Control(func(uintptr) {}) == nil { // not yet
			runtime.Gosched()
		}
		other, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Error(err)
		}
		defer unix.Close(other)
		if uintptr(other) == c.held {
			t.Error("another socket has the descriptor")
		}
		if n, err := c.write([]byte("answer")); n != 6 || err != nil {
			t.Errorf("wrote %d bytes, %v", n, err)
		}
		return true, nil
	}
	write(t, client, []byte{0})
	if _, err := c.receive(new(inbox)); err == nil {
		t.Error("reads go on behind the end")
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	_ = client.SetReadDeadline(time.Now().Add(patience))
	if got, err := io.ReadAll(client); string(got) != "answer" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestAPanicWithinAReadGivesTheDescriptorBack: what is written behind it must not go to
// whoever has the descriptor's number by then.
func TestAPanicWithinAReadGivesTheDescriptorBack(t *testing.T) {
	here, client := directPair(t)
	c := callsOf(here.TCPConn, func() {})
	c.onward = func(*inbox, int) (bool, error) { panic("on purpose") }
	write(t, client, []byte{0})
	func() {
		defer func() { _ = recover() }()
		_, _ = c.receive(new(inbox))
	}()
	if c.holds {
		t.Error("the descriptor is still held")
	}
}
