package listeners

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"domainpark/query"
)

// gate is a resolver that answers as mirror does once it is opened.
type gate struct {
	entered, open chan struct{}
	once          sync.Once
}

func newGate() *gate { return &gate{entered: make(chan struct{}, 1<<16), open: make(chan struct{})} }

func (g *gate) Resolve(dst []byte, q *query.Query) []byte {
	g.entered <- struct{}{}
	<-g.open
	return mirror(dst, q)
}

func (g *gate) release() { g.once.Do(func() { close(g.open) }) }

func TestUDPDrainAnswersWhatTheSocketHolds(t *testing.T) {
	const held = 150 // more than two batches, and less than a receive buffer takes
	for kind, open := range udpKinds {
		t.Run(kind, func(t *testing.T) {
			g := newGate()
			defer g.release()
			s := startUDP(t, open, netip.MustParseAddrPort("127.0.0.1:0"), 1, g)
			c := dial(t, "udp", s.addr().String())
			for id := range held {
				if _, err := c.Write(testMessage(uint16(id), 12)); err != nil {
					t.Fatal(err)
				}
			}
			<-g.entered
			s.cancel()
			g.release()
			s.stop(t)
			for id := range held {
				if got, want := receiveUDP(t, c), answerTo(testMessage(uint16(id), 12)); !bytes.Equal(got, want) {
					t.Fatalf("got %x, want %x", got, want)
				}
			}
		})
	}
}

func TestUDPStopUnderLoadAnswersAllThatIsReceived(t *testing.T) {
	const clients, window = 4, 16
	for kind, open := range udpKinds {
		t.Run(kind, func(t *testing.T) {
			var resolved atomic.Int64
			answered := newMilestone(2000) // stop under load
			r := resolverFunc(func(dst []byte, q *query.Query) []byte {
				resolved.Add(1)
				return mirror(dst, q)
			})
			s := startUDP(t, open, netip.MustParseAddrPort("127.0.0.1:0"), 2, r)
			var asking []net.Conn
			var wg sync.WaitGroup
			for range clients {
				c := dial(t, "udp", s.addr().String())
				asking = append(asking, c)
				wg.Go(func() { keepAsking(c, window, answered) })
			}
			answered.wait(t)
			s.stop(t)
			farewell(t, s.addr().String(), asking)
			wg.Wait()
			if resolved.Load() != answered.n.Load() {
				t.Errorf("%d queries resolved, %d answers arrived", resolved.Load(), answered.n.Load())
			}
		})
	}
}

// farewells come from the address of a server that is gone, and so behind all its
// answers.
var farewells = []byte("that was all")

func farewell(t *testing.T, server string, clients []net.Conn) {
	t.Helper()
	conn, err := net.ListenPacket("udp", server)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, c := range clients {
		if _, err := conn.WriteTo(farewells, c.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
}

// keepAsking keeps window queries under way until the farewell. When some get lost
// it asks anew.
func keepAsking(c net.Conn, window int, answered *milestone) {
	buf := make([]byte, 64)
	for {
		for range window {
			_, _ = c.Write(testMessage(1, 12)) // the server may be gone
		}
		for range window {
			_ = c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
			n, err := c.Read(buf)
			if isTimeout(err) {
				break
			}
			if err != nil {
				continue // nobody is at the address any more: it comes before what is there to be read
			}
			if bytes.Equal(buf[:n], farewells) {
				return
			}
			answered.count()
		}
	}
}

func TestUDPSkipsAnAnswerThatCannotBeSent(t *testing.T) {
	const tooLong = 0xbad
	g := newGate()
	defer g.release()
	r := resolverFunc(func(dst []byte, q *query.Query) []byte {
		if binary.BigEndian.Uint16(q.Message) == tooLong {
			return append(dst, make([]byte, 1<<16)...) // no datagram takes it: EMSGSIZE
		}
		return g.Resolve(dst, q)
	})
	eachUDP(t, []string{"127.0.0.1:0", "0.0.0.0:0"}, 1, r, func(t *testing.T, s *udpServer) {
		c := dial(t, "udp", s.on("127.0.0.1"))
		// The first holds up the worker, so that the others come in one batch.
		ids := []uint16{1, tooLong, 2, tooLong, tooLong, 3, 4, tooLong}
		for _, id := range ids {
			if _, err := c.Write(testMessage(id, 12)); err != nil {
				t.Fatal(err)
			}
		}
		<-g.entered
		g.release()
		for _, id := range slices.DeleteFunc(ids, func(id uint16) bool { return id == tooLong }) {
			if got := receiveUDP(t, c); !bytes.Equal(got, answerTo(testMessage(id, 12))) {
				t.Errorf("got %x, want the answer to %d", got, id)
			}
		}
		if got := askUDP(t, c, testMessage(5, 12)); !bytes.Equal(got, answerTo(testMessage(5, 12))) {
			t.Errorf("got %x afterwards", got)
		}
	})
}
