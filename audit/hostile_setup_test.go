package audit

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"
)

// hostileServer is the one server of a network without sockets. It may be used in
// a synctest bubble, where time passes while it is silent.
type hostileServer struct {
	t      *testing.T
	answer func(*dns.Msg, []byte) []byte
}

// hostileAt is where it is.
var hostileAt = netip.MustParseAddrPort("192.0.2.1:53")

// audit is an Audit on that network.
func (s hostileServer) audit(cfg Config) *Audit {
	a := New(cfg)
	a.client.network = network{s.dial, func(ctx context.Context, _ string, _ *tls.Config, _ *quic.Config) (*quic.Conn, error) {
		<-ctx.Done() // nothing tells that a port is closed
		return nil, ctx.Err()
	}}
	return a
}

// dial connects to it over UDP and TCP. On a pipe, too, a read returns no more than
// one write of a datagram.
func (s hostileServer) dial(_ context.Context, network, address string) (net.Conn, error) {
	if address != hostileAt.String() {
		return nil, syscall.ECONNREFUSED
	}
	client, server := net.Pipe()
	if network == "udp" {
		go s.datagrams(server)
	} else {
		go s.stream(server)
	}
	return client, nil
}

func (s hostileServer) respond(wire []byte) []byte {
	q := new(dns.Msg)
	if err := q.Unpack(wire); err != nil {
		s.t.Errorf("a query that is none: %v", err)
		return nil
	}
	return s.answer(q, wire)
}

// datagrams answers queries until the client hangs up. More than fits into a
// datagram is sent truncated.
func (s hostileServer) datagrams(conn net.Conn) {
	defer conn.Close()
	buf := make([]byte, 65535)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		out := s.respond(buf[:n])
		if len(out) > 1232 {
			q := new(dns.Msg)
			if q.Unpack(buf[:n]) == nil {
				m := new(dns.Msg).SetReply(q)
				m.Truncated = true
				out = packed(m)
			}
		}
		if len(out) > 0 {
			conn.Write(out)
		}
	}
}

func (s hostileServer) stream(conn net.Conn) {
	defer conn.Close()
	for {
		wire, err := readFramed(conn)
		if err != nil {
			return
		}
		out := s.respond(wire)
		if len(out) == 0 {
			io.Copy(io.Discard, conn) // until the client gives up
			return
		}
		conn.Write(framed(out))
	}
}
