package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// TestAClientHasOneShareOfAllTransports: connections of every transport are
// counted together, and what one client has too many is nobody else's loss.
func TestAClientHasOneShareOfAllTransports(t *testing.T) {
	transports := []string{"tcp", "dot", "doh", "doq", "doh3"}
	ca := newAuthority(t)
	srv := start(t, "--config", encryptedSettings(t, `
listen: {udp: [], tcp: ["127.0.0.1:0"], dot: ["127.0.0.1:0"], doh: ["127.0.0.1:0"], doq: ["127.0.0.1:0"], admin: []}
policy:
  trust: [127.70.0.0/16]
  connections: {perclient: 5}
`, ca.issue(t.TempDir(), 2, testHost)))
	config := &tls.Config{RootCAs: ca.pool(), ServerName: testHost}
	open := func(from, transport string) (hangUp func(), err error) {
		return keepOpen(t, srv, net.ParseIP(from), transport, config)
	}

	const greedy, other, trusted = "127.60.0.1", "127.60.0.2", "127.70.0.1"
	var first func()
	for _, transport := range transports {
		hangUp, err := open(greedy, transport)
		if err != nil {
			t.Fatalf("%s: %v", transport, err)
		}
		if first == nil {
			first = hangUp
		}
	}
	for _, transport := range transports {
		if _, err := open(greedy, transport); err == nil {
			t.Errorf("%s: a sixth connection was answered", transport)
		}
		if _, err := open(other, transport); err != nil {
			t.Errorf("%s: another client: %v", transport, err)
		}
		for range 2 {
			if _, err := open(trusted, transport); err != nil {
				t.Errorf("%s: a trusted client: %v", transport, err)
			}
		}
	}
	first()
	for deadline := time.Now().Add(answerWithin); ; {
		_, err := open(greedy, "dot")
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("one was closed, and still: %v", err)
		}
	}
	stopsInOrder(t, srv)
}

// keepOpen opens a connection from an address and asks over it. The connection
// stays until hangUp or the test's end.
func keepOpen(t *testing.T, srv *running, from net.IP, transport string, config *tls.Config) (hangUp func(), err error) {
	t.Helper()
	config = config.Clone()
	config.NextProtos = map[string][]string{"dot": {"dot"}, "doh": {"http/1.1"}, "doq": {"doq"}, "doh3": {"h3"}}[transport]
	to, query := srv.addr[transport][0], dohQuery(t)
	if transport == "doq" || transport == "doh3" {
		return keepQUICOpen(t, from, to, config, query)
	}
	conn, err := dialFrom(&net.TCPAddr{IP: from}, to)
	if err != nil {
		return nil, err
	}
	hangUp = func() { conn.Close() }
	t.Cleanup(hangUp)
	conn.SetDeadline(time.Now().Add(answerWithin))
	if transport != "tcp" {
		conn = tls.Client(conn, config)
	}
	if transport != "doh" {
		if _, err := conn.Write(framed(query)); err != nil {
			return nil, err
		}
		return hangUp, parkedAnswer(readFramed(conn))
	}
	if _, err := fmt.Fprintf(conn, "POST /dns-query HTTP/1.1\r\nHost: %s\r\nContent-Type: application/dns-message\r\nContent-Length: %d\r\n\r\n%s",
		testHost, len(query), query); err != nil {
		return nil, err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return nil, err
	}
	return hangUp, parkedAnswer(io.ReadAll(response.Body))
}

func keepQUICOpen(t *testing.T, from net.IP, to string, config *tls.Config, query []byte) (hangUp func(), err error) {
	t.Helper()
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: from})
	if err != nil {
		return nil, err
	}
	transport := &quic.Transport{Conn: socket}
	t.Cleanup(func() { transport.Close(); socket.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), answerWithin)
	defer cancel()
	addr, err := net.ResolveUDPAddr("udp", to)
	if err != nil {
		return nil, err
	}
	conn, err := transport.Dial(ctx, addr, config, nil)
	if err != nil {
		return nil, err
	}
	hangUp = func() { conn.CloseWithError(0, "") }
	if config.NextProtos[0] == "h3" {
		request, err := http.NewRequestWithContext(ctx, "POST", "https://"+to+"/dns-query", bytes.NewReader(query))
		if err != nil {
			return nil, err
		}
		request.Header.Set("Content-Type", "application/dns-message")
		response, err := new(http3.Transport).NewClientConn(conn).RoundTrip(request)
		if err != nil {
			return nil, err
		}
		return hangUp, parkedAnswer(io.ReadAll(response.Body))
	}
	stream, err := conn.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := stream.Write(framed(query)); err != nil {
		return nil, err
	}
	stream.Close()
	return hangUp, parkedAnswer(readFramed(stream))
}
