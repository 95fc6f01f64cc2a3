package listeners

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
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
		if ip == "::1" && !haveIPv6Loopback() {
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

// Over TCP and DoT nothing says no: a client that is left without an answer waits for
// it until it gives up, for each of its queries. So a stream ends with the first query
// that is dropped, and its client learns at once what else gets no answer there (RFC
// 7766 §6.2.4). What it had asked behind that one is charged to nobody.
func TestStreamEndsWithTheFirstQueryThatIsDropped(t *testing.T) {
	var asked atomic.Int32
	two := resolverFunc(func(dst []byte, q *query.Query) []byte {
		if asked.Add(1) > 2 {
			q.Verdict = query.Dropped
			return dst
		}
		q.Verdict = query.Answered
		return mirror(dst, q)
	})
	eachStream(t, two, func(t *testing.T, s *running, transport string) {
		asked.Store(0)
		c := s.dialStream(t, transport)
		var all []byte
		for id := range uint16(100) {
			all = append(all, framed(testMessage(id, 40))...)
		}
		write(t, c, all)
		expectAnswer(t, c, testMessage(0, 40))
		expectAnswer(t, c, testMessage(1, 40))
		expectStreamEnd(t, c)
		if n := asked.Load(); n != 3 {
			t.Errorf("%d queries were resolved, want 3", n)
		}
		expectDismissed(t, s, map[string]query.Transport{"tcp": query.TCP, "dot": query.DoT}[transport])
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
