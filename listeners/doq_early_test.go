package listeners

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"domainpark/query"
)

// gatedConn is a client's UDP socket that receives nothing until open is closed.
type gatedConn struct {
	net.PacketConn
	open <-chan struct{}
}

func (c gatedConn) ReadFrom(p []byte) (int, net.Addr, error) {
	<-c.open
	return c.PacketConn.ReadFrom(p)
}

// Before its handshake is complete, who holds a token may be at another address
// than it says, and gets so many answers and no more (RFC 9000 §8.1). What is
// above waits.
func TestDoQBoundsAnswersBeforeTheHandshakeIsComplete(t *testing.T) {
	const asked = earlyAnswers + 2
	var conn *doqConn
	complete := make(chan bool, asked)
	cfg := webConfig()
	cfg.DoQ = []string{"127.0.0.1:0"}
	set, err := Bind(cfg, resolverFunc(func(dst []byte, q *query.Query) []byte {
		complete <- conn.complete()
		return mirror(dst, q)
	}))
	if err != nil {
		t.Fatal(err)
	}
	l := set.sites[0].entries[0].listener.(*quicListener)
	opened, begin := make(chan *doqConn, 2), l.conn
	l.conn = func(c *quic.Conn, refused *refusals) (quicConn, error) {
		own, err := begin(c, refused)
		conn = own.(*doqConn) // one connection after another, and its queries behind it
		opened <- conn
		return own, err
	}
	s := serveSet(t, set)
	m := newRemembering()
	m.visit(t, s.addrOf(t, "doq"))
	<-opened
	<-complete

	open := make(chan struct{})
	c := dialGated(t, s.addrOf(t, "doq"), m.tls(), &quic.Config{TokenStore: tokens{m}}, open)
	var streams []*quic.Stream
	for range asked {
		stream := openStream(t, c, framed(plainQuery))
		stream.Close()
		streams = append(streams, stream)
	}
	server := <-opened
	for end := time.Now().Add(patience); server.early.Load() < asked; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d queries arrived, want %d", server.early.Load(), asked)
		}
	}
	for i := range earlyAnswers {
		if <-complete {
			t.Errorf("the handshake was complete at answer %d: the test shows nothing", i+1)
		}
	}
	if n := len(complete); n > 0 {
		t.Errorf("%d answers more than %d before the handshake was complete", n, earlyAnswers)
	}
	close(open)
	for _, stream := range streams {
		if got, err := io.ReadAll(stream); err != nil || !bytes.Equal(got, framed(answerTo(plainQuery))) {
			t.Errorf("got %x, %v", got, err)
		}
	}
	for len(complete) > 0 {
		if !<-complete {
			t.Errorf("another answer before the handshake was complete")
		}
	}
	if !c.ConnectionState().Used0RTT {
		t.Error("0-RTT was not used")
	}
}

// dialGated opens a connection that may send before the handshake is complete,
// from a socket that receives nothing until open is closed.
func dialGated(t *testing.T, addr string, config *tls.Config, quicConfig *quic.Config, open <-chan struct{}) *quic.Conn {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	to, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	transport := &quic.Transport{Conn: gatedConn{socket, open}}
	t.Cleanup(func() { transport.Close(); socket.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := transport.DialEarly(ctx, to, config, quicConfig)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseWithError(doqNoError, "") })
	return c
}

// What waits for the end of the handshake when the server stops is lost because of us.
func TestDoQQueriesThatWaitForTheHandshakeAreNotChargedWhenTheServerStops(t *testing.T) {
	rig := newDoQRig(t, mirror, func(cfg *Config) { cfg.Timeouts.Shutdown = time.Millisecond })
	m := newRemembering()
	m.visit(t, rig.addrOf(t, "doq"))
	<-rig.begun
	open := make(chan struct{})
	defer close(open)
	c := dialGated(t, rig.addrOf(t, "doq"), m.tls(), &quic.Config{TokenStore: tokens{m}}, open)
	for range earlyAnswers + 2 {
		openStream(t, c, framed(plainQuery)).Close()
	}
	server := <-rig.begun
	settled(t, "queries are missing", 0, func() int { return int(earlyAnswers + 2 - server.early.Load()) })
	rig.stop(t)
	rig.expectCharges(t, 0)
}
