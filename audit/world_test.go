package audit

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"flag"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"domainpark/listeners"
	"domainpark/query"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"
)

var update = flag.Bool("update", false, "write what the tests find as what they want")

// The addresses of a small internet on loopback.
const (
	rootIP     = "127.99.1.1"
	tldIP      = "127.99.1.2"
	resolverIP = "127.99.1.3"
	parkIP1    = "127.99.0.1" // this server
	parkIP2    = "127.99.0.2"
	plainIP    = "127.99.0.3" // NSD
	childIP    = "127.99.0.4" // a server of the tests' own
	nobodyIP   = "127.99.0.9"
)

// world is a root, two top-level domains, a resolver, and servers of domains,
// all on one port.
type world struct {
	t     *testing.T
	port  uint16
	ports [query.Transports]uint16
	roots *x509.CertPool
}

const rootZone = `
.                  SOA a.root. hostmaster. 1 1800 900 604800 86400
.                  NS  a.root.
a.root.            A   127.99.1.1
com.               NS  ns.tld.example.
example.           NS  ns.tld.example.
ns.tld.example.    A   127.99.1.2
`

const exampleZone = `
example.           SOA ns.tld.example. hostmaster.example. 1 1800 900 604800 86400
example.           NS  ns.tld.example.
ns.tld.example.    A   127.99.1.2
park.example.      NS  ns1.park.example.
park.example.      NS  ns2.park.example.
ns1.park.example.  A   127.99.0.1
ns2.park.example.  A   127.99.0.2
`

const comZone = `
com.               SOA ns.tld.example. hostmaster.example. 1 1800 900 604800 86400
com.               NS  ns.tld.example.
parked.com.        NS  ns1.park.example.
parked.com.        NS  ns2.park.example.
signed.com.        NS  ns1.park.example.
signed.com.        NS  ns2.park.example.
signed.com.        DS  12345 13 2 0000000000000000000000000000000000000000000000000000000000000000
plain.com.         NS  ns1.plain.com.
plain.com.         NS  ns2.plain.com.
ns1.plain.com.     A   127.99.0.3
ns2.plain.com.     A   127.99.0.3
half.com.          NS  ns1.park.example.
half.com.          NS  ns.half.com.
ns.half.com.       A   127.99.0.9
moved.com.         NS  ns.moved.com.
moved.com.         NS  ns.other.com.
ns.moved.com.      A   127.99.0.4
other.com.         NS  ns.moved.com.
bare.com.          NS  ns.bare.com.
loop.com.          NS  ns.pool.com.
pool.com.          NS  ns.loop.com.
`

// childZones are those of the tests' own server. It is out of step with what
// the parent says of moved.com, in every way.
const childZones = `
moved.com.         SOA ns.moved.com. hostmaster.moved.com. 7 1800 900 604800 86400
moved.com.         NS  ns.moved.com.
moved.com.         NS  ns.third.com.
ns.moved.com.      A   127.99.0.4
ns.moved.com.      A   127.99.0.7
other.com.         SOA ns.moved.com. hostmaster.moved.com. 7 1800 900 604800 86400
other.com.         NS  ns.moved.com.
`

func newWorld(t *testing.T) *world {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("only on Linux is all of 127.0.0.0/8 an address of loopback")
	}
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, port: port}
	w.ports[query.UDP], w.ports[query.TCP] = port, port
	w.serve(rootIP, authority(parseZone(t, rootZone)))
	w.serve(tldIP, authority(parseZone(t, comZone), parseZone(t, exampleZone)))
	w.serve(resolverIP, w.resolver())
	return w
}

// audit is an Audit that knows this internet and no other.
func (w *world) audit(cfg Config) *Audit {
	cfg.Resolvers = []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr(resolverIP), w.port)}
	cfg.Roots, cfg.Timeout = w.roots, patience
	a := New(cfg)
	a.ports = w.ports
	a.client.network.dialQUIC = w.dialQUIC
	w.t.Cleanup(a.Close)
	return a
}

// patience is how long an answer may take that comes.
const patience = time.Minute

// dialQUIC finds nobody at once where this server is not: nothing tells who speaks
// QUIC that a port is closed, so it would wait for the whole time-out.
func (w *world) dialQUIC(ctx context.Context, address string, tc *tls.Config, qc *quic.Config) (*quic.Conn, error) {
	if ip, _, _ := net.SplitHostPort(address); ip != parkIP1 && ip != parkIP2 {
		return nil, syscall.ECONNREFUSED
	}
	return quic.DialAddr(ctx, address, tc, qc)
}

// serve serves DNS over UDP and TCP at an address.
func (w *world) serve(ip string, h dns.HandlerFunc) {
	w.t.Helper()
	at := net.JoinHostPort(ip, fmt.Sprint(w.port))
	conn, err := net.ListenPacket("udp", at)
	if err != nil {
		w.t.Fatal(err)
	}
	l, err := net.Listen("tcp", at)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, srv := range []*dns.Server{{PacketConn: conn, Handler: h}, {Listener: l, Handler: h}} {
		started := make(chan struct{})
		srv.NotifyStartedFunc = func() { close(started) }
		go srv.ActivateAndServe()
		<-started
		w.t.Cleanup(func() { srv.Shutdown() })
	}
}

// park runs this server at two addresses, and on every encrypted transport.
func (w *world) park() {
	w.t.Helper()
	cert, roots := certificateFor(w.t, "ns1.park.example", "ns2.park.example")
	w.roots = roots
	at := func(port uint16) []string {
		return []string{net.JoinHostPort(parkIP1, fmt.Sprint(port)), net.JoinHostPort(parkIP2, fmt.Sprint(port))}
	}
	for _, t := range []query.Transport{query.DoT, query.DoH, query.DoQ} {
		port, err := freePort()
		if err != nil {
			w.t.Fatal(err)
		}
		w.ports[t] = port
	}
	w.ports[query.DoH3] = w.ports[query.DoH]
	_, stop, err := startPark(listeners.Config{
		UDP: at(w.port), TCP: at(w.port), DoT: at(w.ports[query.DoT]), DoH: at(w.ports[query.DoH]), DoQ: at(w.ports[query.DoQ]),
		TLS: &tls.Config{Certificates: []tls.Certificate{cert}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(stop)
}

func certificateFor(t *testing.T, names ...string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, leaf, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if leaf, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}

func parseZone(t *testing.T, text string) (rrs []dns.RR) {
	t.Helper()
	p := dns.NewZoneParser(strings.NewReader("$TTL 3600\n"+text), ".", "")
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		rrs = append(rrs, rr)
	}
	if err := p.Err(); err != nil {
		t.Fatal(err)
	}
	return rrs
}

// authority answers from zones as a plain server does (RFC 1034 §4.3.2).
func authority(zones ...[]dns.RR) dns.HandlerFunc {
	return func(rw dns.ResponseWriter, q *dns.Msg) {
		rw.WriteMsg(authoritative(q, zones...))
	}
}

func authoritative(q *dns.Msg, zones ...[]dns.RR) *dns.Msg {
	m := new(dns.Msg).SetReply(q)
	name, qtype := strings.ToLower(q.Question[0].Name), q.Question[0].Qtype
	var zone []dns.RR
	for _, rrs := range zones {
		for _, rr := range rrs {
			// Several zones may be in one list: each begins with its SOA.
			if apex := rr.Header().Name; rr.Header().Rrtype == dns.TypeSOA && dns.IsSubDomain(apex, name) {
				zone = rrs[slices.Index(rrs, rr):]
			}
		}
	}
	if zone == nil {
		m.Rcode = dns.RcodeRefused
		return m
	}
	apex := zone[0].Header().Name
	exists := false
	for _, rr := range zone {
		h := rr.Header()
		ds := qtype == dns.TypeDS && h.Name == name
		if h.Rrtype == dns.TypeNS && h.Name != apex && dns.IsSubDomain(apex, h.Name) && dns.IsSubDomain(h.Name, name) && !ds {
			m.Ns = append(m.Ns, rr)
		}
		if h.Name == name && h.Rrtype == qtype {
			m.Answer = append(m.Answer, rr)
		}
		exists = exists || dns.IsSubDomain(name, h.Name)
	}
	if len(m.Ns) > 0 {
		m.Answer = nil
		for _, ns := range m.Ns {
			for _, rr := range zone {
				if rr.Header().Name == ns.(*dns.NS).Ns && rr.Header().Rrtype == dns.TypeA {
					m.Extra = append(m.Extra, rr)
				}
			}
		}
		return m
	}
	m.Authoritative = true
	if len(m.Answer) == 0 {
		m.Ns = zone[:1]
		if !exists {
			m.Rcode = dns.RcodeNameError
		}
	}
	return m
}

// resolver resolves from the root down, without a cache.
func (w *world) resolver() dns.HandlerFunc {
	return func(rw dns.ResponseWriter, q *dns.Msg) {
		m := w.iterate(q, 0)
		m.Id, m.RecursionAvailable, m.RecursionDesired, m.Authoritative = q.Id, true, true, false
		rw.WriteMsg(m)
	}
}

func (w *world) iterate(q *dns.Msg, depth int) *dns.Msg {
	failed := new(dns.Msg).SetRcode(q, dns.RcodeServerFailure)
	if depth > 8 {
		return failed
	}
	servers := []string{rootIP}
	for range 10 {
		ask := q.Copy()
		ask.RecursionDesired = false
		var m *dns.Msg
		for _, ip := range servers {
			c := dns.Client{Timeout: patience}
			var err error
			if m, _, err = c.Exchange(ask, net.JoinHostPort(ip, fmt.Sprint(w.port))); err == nil && m.Rcode != dns.RcodeRefused {
				break
			}
			m = nil
		}
		if m == nil {
			return failed
		}
		if m.Authoritative {
			return m
		}
		servers = nil
		for _, rr := range m.Ns {
			ns, ok := rr.(*dns.NS)
			if !ok {
				continue
			}
			addrs := addresses(m.Extra, ns.Ns)
			if len(addrs) == 0 {
				addrs = addresses(w.iterate(new(dns.Msg).SetQuestion(ns.Ns, dns.TypeA), depth+1).Answer, ns.Ns)
			}
			for _, addr := range addrs {
				servers = append(servers, addr.String())
			}
		}
	}
	return failed
}

// golden compares got with a file under testdata, or writes it there.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; -update writes it", err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}
