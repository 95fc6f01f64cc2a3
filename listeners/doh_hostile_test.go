package listeners

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// hostileConfig listens on everything encrypted, with deadlines that a test can
// wait for.
func hostileConfig() Config {
	cfg := webConfig()
	cfg.DoH, cfg.DoQ = []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}
	cfg.Timeouts.Handshake = 3 * time.Second // also of the test's own clients, on a busy machine
	cfg.Timeouts.Message = time.Second
	cfg.Timeouts.Idle = time.Second
	return cfg
}

func TestDoHSlowBodyIsCutOff(t *testing.T) {
	s := start(t, hostileConfig(), cacheable)
	for _, version := range webVersions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			body, fill := io.Pipe()
			defer fill.Close()
			go fill.Write(plainQuery[:5])
			req := request(t, "POST", s.dohURL(t, dohPath), body, "Content-Type", "application/dns-message")
			req.ContentLength = int64(len(plainQuery))
			res, got := do(t, webClient(t, version), req)
			if res.StatusCode != 408 || !strings.Contains(string(got), "too long") {
				t.Errorf("got %s %q, want 408", res.Status, got)
			}
		})
	}
}

// TestDoHClosesWhatStalls sends each beginning and waits until the server has
// had enough: the connection ends by the server's deadline.
func TestDoHClosesWhatStalls(t *testing.T) {
	s := start(t, hostileConfig(), cacheable)
	addr := s.addrOf(t, "doh")
	t.Run("handshake not begun", func(t *testing.T) {
		t.Parallel()
		expectClosed(t, dial(t, "tcp", addr))
	})
	t.Run("half a ClientHello", func(t *testing.T) {
		t.Parallel()
		c := dial(t, "tcp", addr)
		c.Write(clientHello(t)[:60])
		expectClosed(t, c)
	})
	t.Run("garbage", func(t *testing.T) {
		t.Parallel()
		c := dial(t, "tcp", addr)
		c.Write(bytes.Repeat([]byte("garbage"), 100))
		expectClosed(t, c)
	})
	for name, data := range map[string]string{
		"HTTP/1.1 silence":     "",
		"HTTP/1.1 half header": "GET /dns-query?dns=AAAA HTTP/1.1\r\nHost: localhost\r\n",
		"HTTP/1.1 half body":   "POST /dns-query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/dns-message\r\nContent-Length: 29\r\n\r\nabc",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := dialTLS(t, addr, "http/1.1")
			io.WriteString(c, data)
			expectClosed(t, c)
		})
	}
	t.Run("HTTP/2 half a preface", func(t *testing.T) {
		t.Parallel()
		c := dialTLS(t, addr, "h2")
		c.SetDeadline(time.Now().Add(patience / 4)) // net/http waits 10 s by itself
		io.WriteString(c, "PRI * HTTP")
		expectClosed(t, c)
	})
	t.Run("HTTP/2 preface alone", func(t *testing.T) {
		t.Parallel()
		c := dialTLS(t, addr, "h2")
		io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
		expectClosed(t, c)
	})
	t.Run("HTTP/2 header that goes on", func(t *testing.T) {
		t.Parallel()
		c := dialTLS(t, addr, "h2")
		io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"+
			"\x00\x00\x01\x01\x00\x00\x00\x00\x01\x82") // HEADERS without END_HEADERS
		expectClosed(t, c)
	})
	t.Run("HTTP/3 stream without a header", func(t *testing.T) {
		t.Parallel()
		c := dialQUIC(t, s.addrOf(t, "doh3"), clientTLS(http3.NextProtoH3), nil)
		stream := openStream(t, c, []byte{1, 40, 0})
		if _, err := io.ReadAll(stream); err == nil {
			t.Error("stalled stream got an answer")
		}
	})
	t.Run("HTTP/3 connection without streams", func(t *testing.T) {
		t.Parallel()
		c := dialQUIC(t, s.addrOf(t, "doh3"), clientTLS(http3.NextProtoH3), &quic.Config{KeepAlivePeriod: 20 * time.Millisecond})
		select {
		case <-c.Context().Done():
		case <-time.After(patience):
			t.Error("connection lives on")
		}
	})
}

// expectClosed reads c until the server closes it.
func expectClosed(t *testing.T, c net.Conn) {
	t.Helper()
	if _, err := io.Copy(io.Discard, c); isTimeout(err) {
		t.Error("connection lives on")
	}
}

func dialTLS(t testing.TB, addr string, alpn ...string) *tls.Conn {
	t.Helper()
	c := tls.Client(dial(t, "tcp", addr), clientTLS(alpn...))
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	return c
}

// clientHello is the first flight of a TLS client.
func clientHello(t *testing.T) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	go func() {
		tls.Client(ours, clientTLS("h2")).Handshake()
		ours.Close()
	}()
	defer theirs.Close()
	hello := make([]byte, 4096)
	n, err := theirs.Read(hello)
	if err != nil {
		t.Fatal(err)
	}
	return hello[:n]
}

func TestDoHPlainHTTPOnTheTLSPortIsExplained(t *testing.T) {
	cfg := webConfig()
	cfg.DoH = []string{"127.0.0.1:0"}
	s := start(t, cfg, cacheable)
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "OPTIONS"} {
		res, err := http.DefaultTransport.RoundTrip(request(t, method, "http://"+s.addrOf(t, "doh")+"/", nil))
		if err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != 400 || method != "HEAD" && !strings.Contains(string(body), "https://") {
			t.Errorf("%s: got %s %q, want a 400 that speaks of https://", method, res.Status, body)
		}
	}
}

// TestHostileClientsLeaveNothingBehind goes through what clients do to tie up a
// server, and looks whether all of it is given back while the server still runs.
func TestHostileClientsLeaveNothingBehind(t *testing.T) {
	s := start(t, hostileConfig(), cacheable)
	doh, doh3, doq := s.addrOf(t, "doh"), s.addrOf(t, "doh3"), s.addrOf(t, "doq")
	expectDoQAnswer(t, dialDoQ(t, s), testMessage(0, 40)) // whatever is started once is started
	hello := clientHello(t)
	files := descriptors()
	goroutines := runtime.NumGoroutine()
	const each = 20
	for range each {
		dial(t, "tcp", doh)
		dial(t, "tcp", doh).Write(hello[:60])
		dial(t, "tcp", doh).Write([]byte("GET / HTTP/1.0\r\n"))
		io.WriteString(dialTLS(t, doh, "http/1.1"), "POST /dns-query HTTP/1.1\r\n")
		io.WriteString(dialTLS(t, doh, "h2"), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
		for _, addr := range []string{doh3, doq} {
			c := dial(t, "udp", addr)
			c.Write(bytes.Repeat([]byte{0xc3}, 1200))
			c.Write(hello)
		}
	}
	// One client socket for each protocol, so that the client's own goroutines
	// are few and end when the transport is closed.
	for addr, alpn := range map[string]string{doh3: http3.NextProtoH3, doq: "doq"} {
		abandonStreams(t, addr, alpn)
	}
	settled(t, "goroutines", goroutines+2, runtime.NumGoroutine) // a timer's goroutine may run just now
	// The client's ends of the connections above are closed when the test ends.
	settled(t, "descriptors", files+7*each, descriptors)
	expectDoQAnswer(t, dialDoQ(t, s), testMessage(0, 40))
}

// abandonStreams opens connections full of stalled streams and goes away
// without a word.
func abandonStreams(t *testing.T, addr, alpn string) {
	t.Helper()
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	tr := &quic.Transport{Conn: socket}
	defer tr.Close()
	to, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for range 3 {
		c, err := tr.Dial(ctx, to, clientTLS(alpn), nil)
		if err != nil {
			t.Fatal(err)
		}
		for range maxStreams {
			openStream(t, c, []byte{1, 40, 0}) // the beginning of a DoQ message as well as of an HTTP/3 header
		}
	}
}
