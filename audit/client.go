package audit

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"domainpark/query"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"
)

const (
	// payloadBytes is the UDP size that is offered: what crosses the internet
	// unfragmented (DNS flag day 2020).
	payloadBytes = 1232

	// datagrams is how often a question is sent over UDP: a lost packet is no
	// silent server.
	datagrams = 3

	// maxMessageBytes is the longest DNS message.
	maxMessageBytes = 65535
)

// endpoint is a server on one transport.
type endpoint struct {
	transport query.Transport
	addr      netip.AddrPort
	name      string // the server's host name, for TLS; empty: its address
}

// host is what the server's certificate has to name.
func (e endpoint) host() string {
	if e.name == "" {
		return e.addr.Addr().String()
	}
	return strings.TrimSuffix(e.name, ".")
}

// client asks servers over every transport. Connections are kept for the next
// question. It may be used by many goroutines at once.
type client struct {
	timeout time.Duration  // of one question, connecting included
	roots   *x509.CertPool // nil: the system's
	tlsName string         // expected in certificates instead of the server's own name; empty: that
	network network        // how to get to servers

	mu           sync.Mutex
	idle         map[endpoint][]net.Conn // TCP and DoT
	waiting      int                     // connections in idle
	quics        map[endpoint]*quicSession
	webs         map[endpoint]*web
	certificates map[endpoint]error // what was wrong with the certificate last seen; nil: nothing
}

// network opens connections; tests have networks of their own.
type network struct {
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
	dialQUIC func(ctx context.Context, address string, tc *tls.Config, qc *quic.Config) (*quic.Conn, error)
}

func newClient(timeout time.Duration, roots *x509.CertPool, tlsName string) *client {
	return &client{
		timeout: timeout, roots: roots, tlsName: tlsName,
		network:      network{new(net.Dialer).DialContext, quic.DialAddr},
		idle:         map[endpoint][]net.Conn{},
		quics:        map[endpoint]*quicSession{},
		webs:         map[endpoint]*web{},
		certificates: map[endpoint]error{},
	}
}

// transports is how a message crosses each of them: query in, answer out, both
// in wire format.
var transports = [query.Transports]func(*client, context.Context, endpoint, []byte) ([]byte, error){
	query.UDP:  nil, // an answer may be anybody's: see udp
	query.TCP:  (*client).stream,
	query.DoT:  (*client).stream,
	query.DoH:  (*client).https,
	query.DoH3: (*client).https,
	query.DoQ:  (*client).quic,
}

// question is a query for one record set, the recursion bit as told.
func question(name string, qtype uint16, recursion bool) *dns.Msg {
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype)
	m.RecursionDesired = recursion
	m.SetEdns0(payloadBytes, false)
	return m
}

// ask returns the answer to m, whatever its response code. What comes back and
// is no answer to m is an error, and over UDP not even that: an answer of the
// server's may follow. m is not changed and may be asked of several at once.
func (c *client) ask(ctx context.Context, e endpoint, m *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	m = m.Copy()
	m.Id = newID()
	if e.transport >= query.DoH { // caches and other streams: RFC 8484 §4.1, RFC 9250 §4.2.1
		m.Id = 0
	}
	wire, err := m.Pack()
	if err != nil {
		return nil, err
	}
	if e.transport == query.UDP {
		r, err := c.udp(ctx, e, m, wire)
		if err != nil || !r.Truncated {
			return r, err
		}
		e.transport = query.TCP // RFC 1035 §4.2.1, RFC 7766 §5
		return c.ask(ctx, e, m)
	}
	answer, err := transports[e.transport](c, ctx, e, wire)
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	r := new(dns.Msg)
	if err := r.Unpack(answer); err != nil {
		return nil, fmt.Errorf("sends %d bytes that are no DNS message", len(answer))
	}
	if err := fits(m, r); err != nil {
		return nil, err
	}
	return r, nil
}

func newID() uint16 {
	var b [2]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint16(b[:])
}

// fits tells what keeps r from being an answer to m. An answer that only says
// what is wrong may do without the question (RFC 1035 §4.1.1).
func fits(m, r *dns.Msg) error {
	switch {
	case !r.Response:
		return errors.New("sends a query back")
	case r.Id != m.Id:
		return errors.New("answers with another ID")
	case r.Opcode != m.Opcode:
		return errors.New("answers with another opcode")
	case len(r.Question) == 0 && r.Rcode != dns.RcodeSuccess && r.Rcode != dns.RcodeNameError:
		return nil
	case len(r.Question) != 1:
		return fmt.Errorf("answers with %d questions", len(r.Question))
	}
	got, want := r.Question[0], m.Question[0]
	if !strings.EqualFold(got.Name, want.Name) || got.Qtype != want.Qtype || got.Qclass != want.Qclass {
		return errors.New("answers another question")
	}
	return nil
}

// udp sends m, again when no answer comes, and passes over what is none: it
// may be somebody else's.
func (c *client) udp(ctx context.Context, e endpoint, m *dns.Msg, wire []byte) (*dns.Msg, error) {
	conn, err := c.network.dial(ctx, "udp", e.addr.String())
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, maxMessageBytes)
	var strange error
	for range datagrams {
		if _, err := conn.Write(wire); err != nil {
			return nil, c.explain(ctx, err)
		}
		conn.SetReadDeadline(time.Now().Add(c.timeout / datagrams))
		for ctx.Err() == nil {
			n, err := conn.Read(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return nil, c.explain(ctx, err)
			}
			r := new(dns.Msg)
			if r.Unpack(buf[:n]) != nil {
				strange = fmt.Errorf("sends %d bytes that are no DNS message", n)
			} else if err := fits(m, r); err != nil {
				strange = err
			} else {
				return r, nil
			}
		}
	}
	if strange != nil {
		return nil, fmt.Errorf("does not answer, but %w", strange)
	}
	return nil, c.explain(ctx, os.ErrDeadlineExceeded)
}

// explain says in an operator's words why there is no answer.
func (c *client) explain(ctx context.Context, err error) error {
	var errno syscall.Errno
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("does not answer in %v", c.timeout)
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EAFNOSUPPORT):
		return errNoRoute
	case errors.As(err, &errno):
		return errno
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("closes the connection without an answer")
	}
	return err
}

// errNoRoute is about this machine and not about the server: most often it has
// no IPv6.
var errNoRoute = errors.New("this machine has no way to the address")

// drop closes the connections to e, which nobody asks at present.
func (c *client) drop(e endpoint) {
	c.mu.Lock()
	conns, session, w := c.idle[e], c.quics[e], c.webs[e]
	c.waiting -= len(conns)
	delete(c.idle, e)
	delete(c.quics, e)
	delete(c.webs, e)
	delete(c.certificates, e)
	c.mu.Unlock()
	for _, conn := range conns {
		conn.Close()
	}
	if session != nil {
		session.close()
	}
	if w != nil {
		w.close()
	}
}

// close closes what is open. Nobody asks any more.
func (c *client) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conns := range c.idle {
		for _, conn := range conns {
			conn.Close()
		}
	}
	for _, s := range c.quics {
		s.close()
	}
	for _, w := range c.webs {
		w.close()
	}
}
