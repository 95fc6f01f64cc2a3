package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// hostileTimeouts are short enough to wait for, and long enough for the handshakes of
// the test's own clients, and for what they send to be read, on a busy machine. All
// of them read what the server says: what it writes may take its time.
const hostileTimeouts = `
policy: {timeouts: {handshake: 6s, message: 4s, idle: 2s, write: 1m}}
`

const (
	// http2Open is an HTTP/2 client's preface and empty SETTINGS (RFC 9113 §3.4).
	http2Open = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	// http2Headers is a HEADERS frame for stream 1 that CONTINUATION has to follow.
	http2Headers = "\x00\x00\x01\x01\x00\x00\x00\x00\x01\x82"
	// http1Post begins a message of 64 KiB.
	http1Post = "POST /dns-query HTTP/1.1\r\nHost: ns1.park.example\r\nContent-Type: application/dns-message\r\nContent-Length: 65535\r\n\r\n"
)

// hostileStreams are what clients of the TCP ports send before they stall.
var hostileStreams = []struct {
	name, transport string
	protocol        string // the handshake is completed with it; "": no handshake
	data            string // "hello": a ClientHello; "half hello": the first half of one
	answer          string // part of what the server says before it closes; "": anything
}{
	{"nothing", "dot", "", "", ""},
	{"garbage", "dot", "", strings.Repeat("garbage", 100), ""},
	{"plain HTTP", "dot", "", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", ""},
	{"plain DNS", "dot", "", "\x00\x0c\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00", ""},
	{"half a ClientHello", "dot", "", "half hello", ""},
	{"a handshake that stalls", "dot", "", "hello", ""},
	{"silence behind the handshake", "dot", "dot", "", ""},
	{"half a length", "dot", "dot", "\x00", ""},
	{"half a message", "dot", "dot", "\x00\x28\x00\x00\x01\x00", ""},
	{"64 KiB promised, one byte sent", "dot", "dot", "\xff\xff\x00", ""},

	{"nothing", "doh", "", "", ""},
	{"garbage", "doh", "", strings.Repeat("garbage", 100), ""},
	{"plain HTTP", "doh", "", "GET /dns-query HTTP/1.1\r\nHost: ns1.park.example\r\n\r\n", "This port speaks HTTPS"},
	{"half of plain HTTP", "doh", "", "GET /dns-query HTT", ""},
	{"half a ClientHello", "doh", "", "half hello", ""},
	{"a handshake that stalls", "doh", "", "hello", ""},
	{"silence, HTTP/1.1", "doh", "http/1.1", "", ""},
	{"half a header, HTTP/1.1", "doh", "http/1.1", "GET /dns-query?dns=AAAA HTTP/1.1\r\nHost: x\r\n", ""},
	{"64 KiB promised, one byte sent, HTTP/1.1", "doh", "http/1.1", http1Post + "\x00", "408 Request Timeout"},
	{"silence, HTTP/2", "doh", "h2", http2Open, ""},
	{"half a header, HTTP/2", "doh", "h2", http2Open + http2Headers, ""},
	{"half a preface, HTTP/2", "doh", "h2", http2Open[:10], ""},
}

// TestHostileClientsOfTheProgram ties a server up in every way at once, again
// and again. It closes every connection by its deadline, answers others
// meanwhile, writes no log about it, and holds nothing afterwards.
func TestHostileClientsOfTheProgram(t *testing.T) {
	const (
		waves   = 3
		clients = 5 // of each kind, in a wave
		flat    = 1 << 20
		atMost  = 64 << 20 // more than the first wave's peak
	)
	ca := newAuthority(t)
	srv := start(t, "--config", encryptedSettings(t, encryptedListen+hostileTimeouts, ca.issue(t.TempDir(), 2, testHost)))
	honest := certificateClients(t, srv, ca.pool())
	answers := func() {
		t.Helper()
		for _, c := range honest {
			if _, err := askOnce(c); err != nil {
				t.Errorf("%s: no answer: %v", c.name, err)
			}
		}
	}
	begun := srv.footprint()
	var first footprint
	hello := clientHello(t, ca.pool())
	for wave := range waves {
		answers()
		var all sync.WaitGroup
		for range clients {
			for _, h := range hostileStreams {
				all.Go(func() {
					data := h.data
					switch data {
					case "hello":
						data = hello
					case "half hello":
						data = hello[:len(hello)/2]
					}
					said, err := stall(srv.addr[h.transport][0], h.protocol, ca.pool(), data)
					if livesOn := errors.Is(err, os.ErrDeadlineExceeded); livesOn || err == nil && !strings.Contains(said, h.answer) {
						t.Errorf("%s: %s: the connection lives on: %t; %q", h.transport, h.name, livesOn, said)
					}
				})
			}
		}
		for _, transport := range []string{"doq", "doh3"} {
			all.Go(func() { stallQUIC(t, srv.addr[transport][0], transport, ca.pool(), clients, hello) })
		}
		all.Wait()
		answers()
		is := awaitFootprint(t, srv, begun)
		t.Logf("%+v", is)
		if wave == 0 {
			first = is
		} else if is.heapBytes > first.heapBytes+flat || is.peakBytes > first.peakBytes+atMost {
			t.Errorf("memory grows: %+v after the first wave, %+v after wave %d", first, is, wave+1)
		}
	}
	for line := range strings.Lines(srv.log.String()[strings.Index(srv.log.String(), "msg=ready"):]) {
		if strings.Contains(line, "level=") {
			t.Errorf("clients write the log: %s", line)
		}
	}
	stopsInOrder(t, srv)
}

// stall connects, sends data and waits for the server to end the connection.
// On a busy machine that may be before all is sent, which is an error too.
func stall(addr, protocol string, roots *x509.CertPool, data string) (said string, err error) {
	conn, err := net.DialTimeout("tcp", addr, answerWithin)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(answerWithin))
	if protocol != "" {
		conn = tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: testHost, NextProtos: []string{protocol}})
	}
	if _, err := io.WriteString(conn, data); err != nil {
		return "", err
	}
	if data == "" && protocol != "" {
		if err := conn.(*tls.Conn).Handshake(); err != nil {
			return "", err
		}
	}
	text, err := io.ReadAll(conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return string(text), err
	}
	return string(text), nil // in order, or by a reset
}

// stallQUIC sends what is no handshake and what is half of one, then opens
// connections full of streams that stall. Each stream is ended by the server.
func stallQUIC(t *testing.T, addr, transport string, roots *x509.CertPool, clients int, hello string) {
	for _, data := range []string{strings.Repeat("\xc3", 1200), hello, "\xc0\x00\x00\x00\x01" + strings.Repeat("\x08", 1200)} {
		conn, err := net.Dial("udp", addr)
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(conn, data)
		conn.Close()
	}
	protocol, beginnings := "doq", []string{"", "\x00", "\x00\x28\x00\x00", "\xff\xff\x00"}
	if transport == "doh3" {
		// A stream's first bytes are the type and length of an HTTP/3 frame:
		// HEADERS (RFC 9114 §7.2.2).
		protocol, beginnings = "h3", []string{"\x01", "\x01\x28\x00", "\x01\xbf\xff\xff\xff\x00"}
	}
	cfg := &tls.Config{RootCAs: roots, ServerName: testHost, NextProtos: []string{protocol}}
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
			defer cancel()
			conn, err := dialAgain(ctx, addr, cfg, &quic.Config{KeepAlivePeriod: 200 * time.Millisecond})
			if err != nil {
				t.Errorf("%s: %v", transport, err)
				return
			}
			defer conn.CloseWithError(0, "")
			for _, data := range beginnings {
				stream, err := conn.OpenStreamSync(ctx)
				if err != nil {
					return // on a busy machine the connection may have been idle for too long
				}
				stream.SetDeadline(time.Now().Add(answerWithin))
				io.WriteString(stream, data)
				if len(data) == 0 {
					continue // which the server can't know of
				}
				all.Go(func() {
					if _, err := io.ReadAll(stream); errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("%s: a stream that began with %x lives on", transport, data)
					}
				})
			}
			select {
			case <-conn.Context().Done(): // pings do not keep it alive
			case <-ctx.Done():
				t.Errorf("%s: the connection lives on", transport)
			}
		})
	}
	all.Wait()
}

// dialAgain tries until a handshake is complete, which on a busy machine the server's
// deadline may end.
func dialAgain(ctx context.Context, addr string, cfg *tls.Config, quicCfg *quic.Config) (*quic.Conn, error) {
	for {
		conn, err := quic.DialAddr(ctx, addr, cfg, quicCfg)
		if timeout := net.Error(nil); ctx.Err() != nil || !errors.As(err, &timeout) || !timeout.Timeout() {
			return conn, err
		}
	}
}

// clientHello is the first flight of a TLS client.
func clientHello(t *testing.T, roots *x509.CertPool) string {
	t.Helper()
	ours, theirs := net.Pipe()
	go func() {
		tls.Client(ours, &tls.Config{RootCAs: roots, ServerName: testHost}).Handshake()
		ours.Close()
	}()
	defer theirs.Close()
	hello := make([]byte, 4096)
	n, err := theirs.Read(hello)
	if err != nil {
		t.Fatal(err)
	}
	return string(hello[:n])
}

// TestPlainHTTPOnTheDoHPort is what a person sees who forgets the s of https.
func TestPlainHTTPOnTheDoHPort(t *testing.T) {
	srv := startEncrypted(t, newAuthority(t))
	response, err := http.Get("http://" + srv.addr["doh"][0] + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusBadRequest || !bytes.Contains(body, []byte("https://")) {
		t.Errorf("%s: %s", response.Status, body)
	}
}
