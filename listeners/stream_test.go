package listeners

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
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

// halfConn is a connection whose side can be ended alone: TCP and TLS have it.
type halfConn interface {
	net.Conn
	CloseWrite() error
}

// streamKinds are the transports that the stream engine serves.
var streamKinds = []string{"tcp", "dot"}

// dialStream connects to a transport of s.
func (s *running) dialStream(t testing.TB, transport string) halfConn {
	t.Helper()
	raw := dial(t, "tcp", s.addrOf(t, transport))
	if transport == "tcp" {
		return raw.(*net.TCPConn)
	}
	c := tls.Client(raw, clientTLS("dot"))
	t.Cleanup(func() { c.Close() })
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	return c
}

// eachStream runs test with a server for every transport.
func eachStream(t *testing.T, r Resolver, test func(t *testing.T, s *running, transport string)) {
	t.Helper()
	for _, transport := range streamKinds {
		t.Run(transport, func(t *testing.T) {
			cfg := listenOn(transport, "127.0.0.1:0")
			cfg.Timeouts = Timeouts{Handshake: patience, Message: patience, Idle: patience, Write: patience}
			test(t, start(t, cfg, r), transport)
		})
	}
}

func write(t testing.TB, c net.Conn, p []byte) {
	t.Helper()
	if _, err := c.Write(p); err != nil {
		t.Fatal(err)
	}
}

func expectAnswer(t testing.TB, c net.Conn, message []byte) {
	t.Helper()
	if got, err := readFrame(c); err != nil || !bytes.Equal(got, answerTo(message)) {
		t.Fatalf("got %.40x, %v; want the answer to %.40x", got, err, message)
	}
}

// expectStreamEnd reads to the end of the connection, where nothing may come.
func expectStreamEnd(t testing.TB, c net.Conn) {
	t.Helper()
	got, err := io.ReadAll(c)
	if len(got) > 0 || err != nil && isTimeout(err) {
		t.Errorf("got %.40x, %v; want the end", got, err)
	}
}

func TestStreamAnswers(t *testing.T) {
	for _, ip := range []string{"127.0.0.1", "::1"} {
		if ip == "::1" && !haveIPv6() {
			continue
		}
		queries := make(chan query.Query, 1)
		tell := resolverFunc(func(dst []byte, q *query.Query) []byte {
			queries <- query.Query{Client: q.Client, Transport: q.Transport, Idle: q.Idle}
			return mirror(dst, q)
		})
		for transport, want := range map[string]query.Transport{"tcp": query.TCP, "dot": query.DoT} {
			cfg := listenOn(transport, net.JoinHostPort(ip, "0"))
			cfg.Timeouts.Idle = 7 * time.Second
			s := start(t, cfg, tell)
			c := s.dialStream(t, transport)
			write(t, c, framed(testMessage(1, 40)))
			expectAnswer(t, c, testMessage(1, 40))
			q := <-queries
			if q.Transport != want || q.Idle != 7*time.Second || q.Client != c.LocalAddr().(*net.TCPAddr).AddrPort() {
				t.Errorf("%s %s: %v, idle %v, client %v", transport, ip, q.Transport, q.Idle, q.Client)
			}
		}
	}
}

func TestStreamPipelines1000Queries(t *testing.T) {
	eachStream(t, mirror, func(t *testing.T, s *running, transport string) {
		c := s.dialStream(t, transport)
		var all []byte
		for id := range 1000 {
			all = append(all, framed(testMessage(uint16(id), 12+id%100))...)
		}
		go func() { _, _ = c.Write(all) }()
		for id := range 1000 {
			expectAnswer(t, c, testMessage(uint16(id), 12+id%100))
		}
	})
}

func TestStreamTakesOneByteAtATime(t *testing.T) {
	eachStream(t, mirror, func(t *testing.T, s *running, transport string) {
		c := s.dialStream(t, transport)
		for _, b := range framed(testMessage(1, 12), testMessage(2, 30)) {
			write(t, c, []byte{b})
		}
		expectAnswer(t, c, testMessage(1, 12))
		expectAnswer(t, c, testMessage(2, 30))
	})
}

func TestStreamCarriesTheLongestMessage(t *testing.T) {
	eachStream(t, mirror, func(t *testing.T, s *running, transport string) {
		c := s.dialStream(t, transport)
		long := testMessage(1, maxMessageBytes)
		for range 3 {
			write(t, c, framed(long, testMessage(2, 12)))
			expectAnswer(t, c, long)
			expectAnswer(t, c, testMessage(2, 12))
		}
	})
}

// A client may end its side of the connection when it has asked all it wants.
func TestStreamHalfCloseGetsAllAnswers(t *testing.T) {
	eachStream(t, mirror, func(t *testing.T, s *running, transport string) {
		c := s.dialStream(t, transport)
		for id := range 200 {
			write(t, c, framed(testMessage(uint16(id), 20)))
		}
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		for id := range 200 {
			expectAnswer(t, c, testMessage(uint16(id), 20))
		}
		expectStreamEnd(t, c)
	})
}

func TestStreamEndsWithTheClient(t *testing.T) {
	for name, beginning := range map[string][]byte{
		"at once":         nil,
		"in a length":     {0},
		"in a message":    {0, 20, 1, 2, 3},
		"before the last": framed(testMessage(1, 40))[:41],
	} {
		t.Run(name, func(t *testing.T) {
			eachStream(t, mirror, func(t *testing.T, s *running, transport string) {
				c := s.dialStream(t, transport)
				write(t, c, beginning)
				if err := c.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				expectStreamEnd(t, c)
			})
		})
	}
}

// What can't be told apart any more, or is no query at all, ends a stream: but
// what was asked before is answered, and not lost by a reset.
func TestStreamIsClosedByWhatIsNoQuery(t *testing.T) {
	for name, bad := range map[string][]byte{
		"length 0":   {0, 0},
		"length 11":  framed(make([]byte, 11)),
		"a response": framed(answerTo(testMessage(9, 12))),
	} {
		t.Run(name, func(t *testing.T) {
			eachStream(t, mirror, func(t *testing.T, s *running, transport string) {
				c := s.dialStream(t, transport)
				behind := framed(testMessage(3, 12), testMessage(4, 30000))
				write(t, c, append(append(framed(testMessage(1, 12), testMessage(2, 5000)), bad...), behind...))
				expectAnswer(t, c, testMessage(1, 12))
				expectAnswer(t, c, testMessage(2, 5000))
				expectStreamEnd(t, c)
			})
		})
	}
}

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
	c := &stream{server: s, raw: server, conn: server, idleBy: time.Now().Add(patience)}
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
			engine := s.entries[0].listener.(*streams)
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

func TestStreamIDsAnswerInOrder(t *testing.T) {
	eachStream(t, mirror, func(t *testing.T, s *running, transport string) {
		c := s.dialStream(t, transport)
		write(t, c, framed(testMessage(3, 12), testMessage(1, 12), testMessage(2, 12)))
		for _, id := range []uint16{3, 1, 2} {
			got, err := readFrame(c)
			if err != nil || binary.BigEndian.Uint16(got) != id {
				t.Fatalf("got %x, %v; want ID %d", got, err, id)
			}
		}
	})
}

// BenchmarkStreams tells what a query costs, the client's side included, when a
// hundred are under way on one connection.
func BenchmarkStreams(b *testing.B) {
	const window = 100
	for _, transport := range streamKinds {
		b.Run(transport, func(b *testing.B) {
			s := start(b, listenOn(transport, "127.0.0.1:0"), mirror)
			c := s.dialStream(b, transport)
			_ = c.SetDeadline(time.Time{})
			message := testMessage(1, 40)
			burst := bytes.Repeat(framed(message), window)
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
