package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// TestPromisedLengthsTakeNoMemory holds messages open of which one byte has
// come: 64 KiB that are promised cost what 30 bytes cost.
func TestPromisedLengthsTakeNoMemory(t *testing.T) {
	const (
		each   = 200 // messages over a transport
		spare  = 512 // bytes a message: the heap is never quite the same
		rounds = 5
	)
	ca := newAuthority(t)
	srv := start(t, "--config", encryptedSettings(t, encryptedListen+"\npolicy: {timeouts: {handshake: 1m, message: 1m, idle: 1m}}\n", ca.issue(t.TempDir(), 2, testHost)))
	verifying := func(protocol string) *tls.Config {
		return &tls.Config{RootCAs: ca.pool(), ServerName: testHost, NextProtos: []string{protocol}}
	}
	begun := srv.footprint()
	for _, c := range []struct {
		transport string
		hold      func(t *testing.T, promised uint16) (release func())
	}{
		{"dot", func(t *testing.T, promised uint16) func() { return holdDoT(t, srv, verifying("dot"), promised) }},
		{"doh", func(t *testing.T, promised uint16) func() { return holdDoH(t, srv, verifying("http/1.1"), promised) }},
		{"doq", func(t *testing.T, promised uint16) func() { return holdDoQ(t, srv, verifying("doq"), promised, each) }},
	} {
		t.Run(c.transport, func(t *testing.T) {
			held := func(promised uint16) (heapBytes int) {
				var releases []func()
				messages := each
				if c.transport == "doq" {
					messages = 1 // makes them all
				}
				for range messages {
					releases = append(releases, c.hold(t, promised))
				}
				heapBytes = srv.footprint().heapBytes
				for _, release := range releases {
					release()
				}
				awaitFootprint(t, srv, begun)
				return heapBytes
			}
			// The first time makes what is made once. What is in pools, of QUIC's packets
			// above all, comes and goes by as much as the spare: the least counts.
			heap := map[uint16]int{30: held(30), 65535: math.MaxInt}
			for range rounds {
				for promised, least := range heap {
					heap[promised] = min(least, held(promised))
				}
				if heap[65535]-heap[30] <= each*spare {
					break
				}
			}
			t.Logf("heap: %v bytes", heap)
			if more := heap[65535] - heap[30]; more > each*spare {
				t.Errorf("%d bytes more for each message", more/each)
			}
		})
	}
}

// holdDoT sends a query, and the beginning of another message right behind it:
// the answer tells that both are read.
func holdDoT(t *testing.T, srv *running, cfg *tls.Config, promised uint16) (release func()) {
	t.Helper()
	conn, err := tls.Dial("tcp", srv.addr["dot"][0], cfg)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(answerWithin))
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(framed(dohQuery(t)), promised), 0)); err != nil {
		t.Fatal(err)
	}
	if err := parkedAnswer(readFramed(conn)); err != nil {
		t.Fatal(err)
	}
	return func() { conn.Close() }
}

// holdDoH waits for the server's 100 Continue, which tells that it reads the body.
func holdDoH(t *testing.T, srv *running, cfg *tls.Config, promised uint16) (release func()) {
	t.Helper()
	conn, err := tls.Dial("tcp", srv.addr["doh"][0], cfg)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(answerWithin))
	fmt.Fprintf(conn, "POST /dns-query HTTP/1.1\r\nHost: %s\r\nContent-Type: application/dns-message\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", testHost, promised)
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "HTTP/1.1 100 ") {
		t.Fatalf("%q, %v", line, err)
	}
	if _, err := conn.Write([]byte{0}); err != nil {
		t.Fatal(err)
	}
	return func() { conn.Close() }
}

// holdDoQ opens streams, 50 on a connection, and then asks on another one.
func holdDoQ(t *testing.T, srv *running, cfg *tls.Config, promised uint16, streams int) (release func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), answerWithin)
	defer cancel()
	var conns []*quic.Conn
	for opened := 0; opened < streams; opened += 50 {
		conn, err := quic.DialAddr(ctx, srv.addr["doq"][0], cfg, patientQUIC())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
		for i := range 51 {
			stream, err := conn.OpenStreamSync(ctx)
			if err != nil {
				t.Fatal(err)
			}
			stream.SetDeadline(time.Now().Add(answerWithin))
			if i < 50 {
				if _, err := stream.Write(append(binary.BigEndian.AppendUint16(nil, promised), 0)); err != nil {
					t.Fatal(err)
				}
				continue
			}
			if _, err := stream.Write(framed(dohQuery(t))); err != nil {
				t.Fatal(err)
			}
			stream.Close()
			if err := parkedAnswer(readFramed(stream)); err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, stream)
		}
	}
	return func() {
		for _, conn := range conns {
			conn.CloseWithError(0, "")
		}
	}
}
