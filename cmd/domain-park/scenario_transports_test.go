package main

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"domainpark/listeners"
	"domainpark/query"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"
)

// scenarioTransport is a way to send a scenario's messages. Another one is one
// more row of scenarioTransports and one more dial function.
type scenarioTransport struct {
	name      string
	transport query.Transport
	listen    func(cfg *listeners.Config)
	dial      func(t *testing.T, addr string) scenarioClient
}

// scenarioClient sends messages one after another.
type scenarioClient interface {
	// exchange sends a message and returns the answer, nil when none comes.
	// Over a transport that does not tell that none will come, a client that
	// expects silence sends something else behind it, which gets NOTIMP:
	// sentinels is how many of these the server has counted.
	exchange(t *testing.T, message []byte, silence bool) (answer []byte, sentinels uint64)
}

const loopbackAny = "127.0.0.1:0"

var scenarioTransports = []scenarioTransport{
	{"udp", query.UDP, func(cfg *listeners.Config) { cfg.UDP = []string{loopbackAny} }, dialUDPClient},
	{"tcp", query.TCP, func(cfg *listeners.Config) { cfg.TCP = []string{loopbackAny} }, dialTCPClient},
}

// answerWithin is far longer than any answer takes, also on a machine that is busy
// with other things: a test that waits so long has failed.
const answerWithin = time.Minute

// patientTimeouts are settings by which no client is given up that only waits for
// the CPU.
const patientTimeouts = `policy: {timeouts: {handshake: 1m, message: 1m, idle: 1m, write: 1m, shutdown: 1m}}`

// patientQUIC is the same for a client, whose connection may also be left alone for as
// long as a test takes.
func patientQUIC() *quic.Config {
	return &quic.Config{HandshakeIdleTimeout: answerWithin, MaxIdleTimeout: 10 * answerWithin}
}

type udpClient struct{ conn net.Conn }

func dialUDPClient(t *testing.T, addr string) scenarioClient {
	t.Helper()
	return &udpClient{dialClosing(t, "udp", addr)}
}

// dialClosing connects, until the test ends.
func dialClosing(t *testing.T, network, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// exchange relies on datagrams of one socket being answered in order.
func (c *udpClient) exchange(t *testing.T, message []byte, silence bool) (answer []byte, sentinels uint64) {
	t.Helper()
	c.send(t, message)
	if !silence {
		return c.receive(t), 0
	}
	const sentinelID = 0xffff
	sentinel := new(dns.Msg)
	sentinel.Id, sentinel.Opcode = sentinelID, dns.OpcodeStatus
	wire, err := sentinel.Pack()
	if err != nil {
		t.Fatal(err)
	}
	c.send(t, wire)
	answer = c.receive(t)
	if len(answer) >= 2 && binary.BigEndian.Uint16(answer) == sentinelID {
		return nil, 1
	}
	c.receive(t)
	return answer, 1
}

func (c *udpClient) send(t *testing.T, message []byte) {
	t.Helper()
	if _, err := c.conn.Write(message); err != nil {
		t.Fatal(err)
	}
}

func (c *udpClient) receive(t *testing.T) []byte {
	t.Helper()
	buf := make([]byte, dns.MaxMsgSize)
	c.conn.SetReadDeadline(time.Now().Add(answerWithin))
	n, err := c.conn.Read(buf)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

// streamClient sends over one connection, and over another when the server has
// closed it.
type streamClient struct {
	dial func() net.Conn
	conn net.Conn
}

func dialTCPClient(t *testing.T, addr string) scenarioClient {
	return &streamClient{dial: func() net.Conn { return dialClosing(t, "tcp", addr) }}
}

func (c *streamClient) exchange(t *testing.T, message []byte, _ bool) (answer []byte, sentinels uint64) {
	t.Helper()
	if c.conn == nil {
		c.conn = c.dial()
	}
	if _, err := c.conn.Write(framed(message)); err != nil {
		t.Fatal(err)
	}
	c.conn.SetReadDeadline(time.Now().Add(answerWithin))
	answer, err := readFramed(c.conn)
	if err != nil { // a query that is none ends the connection
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("neither an answer nor the end of the connection")
		}
		c.conn.Close()
		c.conn = nil
		return nil, 0
	}
	return answer, 0
}

func readFramed(r io.Reader) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	message := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(r, message)
	return message, err
}
