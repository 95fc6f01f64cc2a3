package listeners

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"domainpark/query"
)

// labelled answers as mirror does and counts.
type labelled struct{ resolved atomic.Int64 }

func (l *labelled) Resolve(dst []byte, q *query.Query) []byte {
	l.resolved.Add(1)
	return mirror(dst, q)
}

// plainLoad asks over UDP and TCP without a pause, most times from a new port,
// until stop. What stays unanswered fails the test.
type plainLoad struct {
	t        *testing.T
	udp, tcp string
	answered atomic.Pointer[milestone]
	ended    chan struct{}
	clients  sync.WaitGroup
}

func startPlainLoad(t *testing.T, udp, tcp string) *plainLoad {
	l := &plainLoad{t: t, udp: udp, tcp: tcp, ended: make(chan struct{})}
	l.answered.Store(newMilestone(1))
	for range 4 {
		l.clients.Go(func() { l.keepAsking("udp", l.askUDP) })
	}
	for range 2 {
		l.clients.Go(func() { l.keepAsking("tcp", l.askTCP) })
	}
	return l
}

func (l *plainLoad) keepAsking(name string, ask func() error) {
	for {
		select {
		case <-l.ended:
			return
		default:
		}
		if err := ask(); err != nil {
			l.t.Errorf("%s: %v", name, err)
			return
		}
	}
}

// askUDP asks a few times from one port, each time only once.
func (l *plainLoad) askUDP() error {
	c, err := net.Dial("udp", l.udp)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	answer := make([]byte, 512)
	for id := range uint16(8) {
		if _, err := c.Write(testMessage(id, 40)); err != nil {
			return err
		}
		if n, err := c.Read(answer); err != nil || !bytes.Equal(answer[:n], answerTo(testMessage(id, 40))) {
			return fmt.Errorf("got %x, %w", answer[:n], err)
		}
		l.answered.Load().count()
	}
	return nil
}

// askTCP asks over one connection; when the server closes it in order, a query
// without an answer is asked again over another (RFC 7766 §6.2.4).
func (l *plainLoad) askTCP() error {
	var c net.Conn
	defer func() {
		if c != nil {
			c.Close()
		}
	}()
	for id := uint16(0); id < 4; {
		if c == nil {
			var err error
			if c, err = net.Dial("tcp", l.tcp); err != nil {
				return err
			}
			_ = c.SetDeadline(time.Now().Add(patience))
		}
		_, written := c.Write(framed(testMessage(id, 40)))
		answer, err := readFrame(c)
		switch {
		case err == io.EOF, errors.Is(written, syscall.EPIPE):
			c.Close()
			c = nil
			continue
		case err != nil, !bytes.Equal(answer, answerTo(testMessage(id, 40))):
			return fmt.Errorf("got %x, %w", answer, err)
		}
		l.answered.Load().count()
		id++
	}
	return nil
}

// more waits until another 2000 queries have been answered.
func (l *plainLoad) more() {
	l.t.Helper()
	m := newMilestone(2000)
	l.answered.Store(m)
	m.wait(l.t)
}

func (l *plainLoad) stop() {
	close(l.ended)
	l.clients.Wait()
}

// plainConfig is for UDP and TCP on one address each.
func plainConfig(overlap bool, udp, tcp string) Config {
	return Config{UDP: []string{udp}, TCP: []string{tcp}, Workers: 2, Overlap: overlap}
}

// Two servers overlap, ten times one after another: neither a datagram nor a
// connection is lost.
func TestOverlapLosesNothing(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "0.0.0.0", "[::1]", "[::]"} {
		if strings.Contains(host, ":") && !haveIPv6Loopback() {
			continue
		}
		t.Run(host, func(t *testing.T) {
			var r [11]labelled
			old := start(t, plainConfig(false, host+":0", host+":0"), &r[0])
			udp := fmt.Sprintf("%s:%d", host, localPort(old.Bound()[0].Addr))
			tcp := fmt.Sprintf("%s:%d", host, localPort(old.Bound()[1].Addr))
			reach := strings.NewReplacer("0.0.0.0", "127.0.0.1", "[::]", "[::1]")
			load := startPlainLoad(t, reach.Replace(udp), reach.Replace(tcp))
			for i := 1; i < len(r) && !t.Failed(); i++ {
				load.more()
				newer := start(t, plainConfig(true, udp, tcp), &r[i])
				load.more()
				old.stop(t)
				old = newer
			}
			load.more()
			load.stop()
			for i := range r {
				if r[i].resolved.Load() == 0 {
					t.Errorf("server %d was asked nothing", i)
				}
			}
		})
	}
}

// Who starts a server twice by mistake is told, on every transport.
func TestOverlapHasToBeAskedFor(t *testing.T) {
	cfg := webConfig()
	cfg.UDP, cfg.TCP, cfg.DoT, cfg.DoQ = []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}
	cfg.DoH = []string{"127.0.0.1:0"}
	s := start(t, cfg, mirror)
	again := map[string]*[]string{"udp": &cfg.UDP, "tcp": &cfg.TCP, "dot": &cfg.DoT, "doq": &cfg.DoQ, "doh": &cfg.DoH}
	for _, b := range s.Bound() {
		if list := again[b.Transport]; list != nil {
			*list = []string{b.Addr.String()}
		}
	}
	_, err := Bind(cfg, mirror)
	if err == nil {
		t.Fatal("bound twice")
	}
	for name := range again {
		if !strings.Contains(err.Error(), "listen "+name+" 127.0.0.1:") {
			t.Errorf("nothing is said of %s: %v", name, err)
		}
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Error(err)
	}
	cfg.Overlap = true
	start(t, cfg, mirror)
}

// A QUIC connection lives on with the process that it began with, and new ones
// begin with the newer.
func TestOverlapLeavesQUICConnectionsWhereTheyAre(t *testing.T) {
	const connections = 12 // each would be rehashed with probability 1/2
	var r [2]labelled
	s := doqServer(t, &r[0])
	addr := s.addrOf(t, "doq")
	var conns []*quic.Conn
	for id := range uint16(connections) {
		c := dialDoQ(t, s)
		expectDoQAnswer(t, c, testMessage(0, 12+int(id)))
		conns = append(conns, c)
	}
	before := r[0].resolved.Load()
	cfg := webConfig()
	cfg.DoH, cfg.DoQ, cfg.Overlap = nil, []string{addr}, true
	newer := start(t, cfg, &r[1])
	for _, c := range conns {
		for range 5 {
			expectDoQAnswer(t, c, testMessage(0, 20))
		}
	}
	if got := r[0].resolved.Load() - before; got != connections*5 {
		t.Errorf("the older server answered %d queries of its connections, want %d", got, connections*5)
	}
	for range connections {
		c := dialDoQ(t, newer)
		expectDoQAnswer(t, c, testMessage(0, 30))
	}
	if got := r[1].resolved.Load(); got != connections {
		t.Errorf("the newer server answered %d queries of new connections, want %d", got, connections)
	}
	s.stop(t)
	for _, c := range conns {
		<-c.Context().Done()
		var closed *quic.ApplicationError
		if err := context.Cause(c.Context()); !errors.As(err, &closed) || closed.ErrorCode != doqNoError {
			t.Errorf("closed with %v", err)
		}
	}
	c := dialDoQ(t, newer)
	expectDoQAnswer(t, c, testMessage(0, 40))
}
