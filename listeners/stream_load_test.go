package listeners

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"domainpark/query"
)

// countedConn counts writes, each of which is one TCP segment or TLS record if
// it is short.
type countedConn struct {
	net.Conn
	writes atomic.Int32
}

func (c *countedConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

func TestStreamAnswersThatAreReadyLeaveInOneWrite(t *testing.T) {
	const n = 30
	for _, secure := range []bool{false, true} {
		client, raw := net.Pipe()
		server := &countedConn{Conn: raw}
		s := newStreams(nil, query.TCP, &Config{Timeouts: Timeouts{}.withDefaults(), Log: slog.New(slog.DiscardHandler)}, mirror)
		if secure {
			config := dotConfig(webConfig().TLS)
			s.secure = func(c net.Conn) *tls.Conn { return tls.Server(c, config) }
			client = tls.Client(client, clientTLS("dot"))
		}
		s.start(server)
		write(t, client, framed(testMessage(0, 12))) // the handshake, and one exchange
		expectAnswer(t, client, testMessage(0, 12))
		before := server.writes.Load()
		var all []byte
		for id := range n {
			all = append(all, framed(testMessage(uint16(id), 12))...) // 14 bytes each: one read
		}
		write(t, client, all)
		for id := range n {
			expectAnswer(t, client, testMessage(uint16(id), 12))
		}
		if writes := server.writes.Load() - before; writes != 1 {
			t.Errorf("TLS %v: %d answers left in %d writes, want 1", secure, n, writes)
		}
		client.Close()
		s.running.Wait()
	}
}

func TestStreamBuffersAreGivenBack(t *testing.T) {
	client, server := net.Pipe()
	s := newStreams(nil, query.TCP, &Config{Timeouts: Timeouts{}.withDefaults()}, mirror)
	c := &stream{server: s, raw: newSocket(server, patience), account: unlimited{}, idleBy: time.Now().Add(patience)}
	go func() {
		for _, n := range []int{20000, 12} {
			_, _ = client.Write(framed(testMessage(1, n)))
			_, _ = readFrame(client)
		}
		client.Close()
	}()
	largest := 0
	for c.fill() == nil {
		if err := c.answer(); err != nil {
			t.Fatal(err)
		}
		largest = max(largest, len(c.in.buf()))
	}
	if largest != lengthBytes+maxMessageBytes || c.in.lender != nil {
		t.Errorf("at most %d bytes held, want the largest buffer; at the end %d, want its own", largest, len(c.in.buf()))
	}
}

// elsewhere dials, where it can, from an address that no test binds: for a minute
// the kernel keeps the ports of connections that clients closed.
var elsewhere = func() net.Dialer {
	if runtime.GOOS == "linux" { // others have 127.0.0.1 alone
		return net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 77)}}
	}
	return net.Dialer{}
}()

func TestStreamsReturnWhatTheyUse(t *testing.T) {
	const clients, at = 2000, 50
	for _, transport := range streamKinds {
		t.Run(transport, func(t *testing.T) {
			s := start(t, listenOn(transport, "127.0.0.1:0"), mirror)
			addr := s.addrOf(t, transport)
			engine := s.sites[0].entries[0].listener.(*streams)
			open := func() int {
				engine.mu.Lock()
				defer engine.mu.Unlock()
				return len(engine.open)
			}
			files := descriptors()
			todo := make(chan int)
			var wg sync.WaitGroup
			for range at {
				wg.Go(func() {
					for range todo {
						c, err := elsewhere.Dial("tcp", addr)
						if err != nil {
							t.Error(err)
							continue
						}
						_, _ = c.Write([]byte{0})
						c.Close()
					}
				})
			}
			for i := range clients {
				todo <- i
			}
			close(todo)
			wg.Wait()
			settled(t, "connections", 0, open)
			settled(t, "descriptors", files, descriptors)
			if transport == "tcp" { // and it still serves
				c := s.dialStream(t, transport)
				write(t, c, framed(testMessage(1, 12)))
				expectAnswer(t, c, testMessage(1, 12))
			}
		})
	}
}

func TestStreamStopUnderLoadAnswersAllThatIsReceived(t *testing.T) {
	var resolved atomic.Int64
	r := resolverFunc(func(dst []byte, q *query.Query) []byte {
		resolved.Add(1)
		return mirror(dst, q)
	})
	eachStream(t, r, func(t *testing.T, s *running, transport string) {
		resolved.Store(0)
		answered := newMilestone(5000) // stop under load
		var wg sync.WaitGroup
		for range 20 {
			c := s.dialStream(t, transport)
			window, ended := make(chan struct{}, 64), make(chan struct{})
			wg.Go(func() {
				for message := framed(testMessage(1, 40)); ; {
					if _, err := c.Write(message); err != nil {
						return
					}
					select {
					case window <- struct{}{}:
					case <-ended:
						return
					}
				}
			})
			wg.Go(func() {
				defer c.Close()
				defer close(ended)
				for {
					if _, err := readFrame(c); err != nil {
						return
					}
					answered.count()
					<-window
				}
			})
		}
		answered.wait(t)
		s.stop(t)
		wg.Wait()
		if resolved.Load() != answered.n.Load() {
			t.Errorf("%d queries resolved, %d answers arrived", resolved.Load(), answered.n.Load())
		}
	})
}

// BenchmarkStreams tells what a query costs, the client's side included, when
// one is under way on a connection, and when a hundred are.
func BenchmarkStreams(b *testing.B) {
	for _, transport := range streamKinds {
		for _, window := range []int{1, 100} {
			b.Run(fmt.Sprintf("%s/%d", transport, window), func(b *testing.B) {
				s := start(b, listenOn(transport, "127.0.0.1:0"), mirror)
				c := s.dialStream(b, transport)
				_ = c.SetDeadline(time.Time{})
				burst := bytes.Repeat(framed(testMessage(1, 40)), window)
				b.ReportAllocs()
				b.ResetTimer()
				answers := make([]byte, len(burst))
				for answered := 0; answered < b.N; answered += window {
					write(b, c, burst)
					if _, err := io.ReadFull(c, answers); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
