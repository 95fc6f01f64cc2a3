package listeners

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"domainpark/query"
)

var errNoTLS = errors.New("encrypted transport without a TLS configuration")

// bindDoH binds DNS over HTTPS (RFC 8484): HTTP/1.1 and HTTP/2 on TCP, and
// HTTP/3 on UDP of the same port.
func bindDoH(hostport string, cfg *Config, r Resolver) ([]listener, error) {
	if cfg.TLS == nil {
		return nil, errNoTLS
	}
	var overQUIC []listener
	overTCP, err := bindEach(hostport, func(addr netip.AddrPort) (listener, error) {
		tcp, udp, err := openBoth(cfg, addr)
		if err != nil {
			return nil, err
		}
		if udp == nil {
			return newDoH(tcp, cfg, &dohHandler{resolver: r, transport: query.DoH, cfg: cfg}), nil
		}
		overQUIC = append(overQUIC, newH3(udp, cfg, &dohHandler{resolver: r, transport: query.DoH3, cfg: cfg}))
		return newDoH(tcp, cfg, &dohHandler{resolver: r, transport: query.DoH, cfg: cfg, altSvc: altSvc(udp)}), nil
	})
	if err != nil {
		for _, l := range overQUIC {
			err = errors.Join(err, l.close())
		}
		return nil, err
	}
	return append(overTCP, overQUIC...), nil
}

// altSvc tells clients of TCP where HTTP/3 is (RFC 7838 §3). It holds for a day,
// so that they forget soon when it is gone.
func altSvc(udp *net.UDPConn) []string {
	return []string{fmt.Sprintf(`h3=":%d"; ma=86400`, localPort(udp.LocalAddr()))}
}

// dohListener is a TCP socket for DoH. HTTP/1.1 is net/http's, HTTP/2 our own.
type dohListener struct {
	httpListener
	h2 *h2Server
}

func newDoH(tcp *net.TCPListener, cfg *Config, handler *dohHandler) *dohListener {
	socket := &lingeringSocket{TCPListener: tcp, drains: make(chan struct{}), accepts: func() time.Duration { return cfg.acceptFor("doh", tcp.Addr()) }}
	server := newHTTPServer(cfg, handler)
	server.TLSConfig = charged(withHTTP(cfg.TLS), cfg.connections())
	server.Protocols = new(http.Protocols)
	server.Protocols.SetHTTP1(true)
	h2 := newH2Server(cfg, handler)
	accepted := newTLSSocket(accountedSocket{socket, cfg.connections(), cfg}, server.TLSConfig)
	accepted.h2 = h2.serve
	return &dohListener{httpListener{accepted, server, cfg}, h2}
}

// serve implements listener.
func (l *dohListener) serve(ctx context.Context) error {
	defer context.AfterFunc(ctx, l.h2.drain)()
	err := l.httpListener.serve(ctx)
	l.h2.drain()
	l.h2.wait()
	if s := lingeringIn(l.socket); s != nil {
		s.wait() // of all connections, those of HTTP/2 too
	}
	return err
}

// openBoth binds addr for TCP and UDP. Port 0 stands for one that is free in
// both, which may take some tries. When a socket for TCP was inherited and none
// for UDP, there is none: a service manager binds all or nothing.
func openBoth(cfg *Config, addr netip.AddrPort) (*net.TCPListener, *net.UDPConn, error) {
	const tries = 20
	for try := 1; ; try++ {
		tcp, err := openTCPSocket(cfg, "doh", addr)
		if err != nil {
			return nil, nil, err
		}
		if cfg.Inherited.has("doh", addr) && !cfg.Inherited.has("doh3", addr) {
			return tcp, nil, nil
		}
		udp, err := openUDPSocket(cfg, "doh3", netip.AddrPortFrom(addr.Addr(), localPort(tcp.Addr())))
		if err == nil {
			return tcp, udp, nil
		}
		_ = tcp.Close()
		if addr.Port() != 0 || try == tries {
			return nil, nil, fmt.Errorf("UDP for HTTP/3: %w", err)
		}
	}
}

// localPort is the port that a TCP or UDP socket is bound to.
func localPort(a net.Addr) uint16 {
	switch a := a.(type) {
	case *net.TCPAddr:
		return uint16(a.Port)
	case *net.UDPAddr:
		return uint16(a.Port)
	}
	return 0
}

// clientAddr is the address that net/http, or who else read r, noted in r.RemoteAddr.
func clientAddr(r *http.Request) netip.AddrPort {
	a, _ := netip.ParseAddrPort(r.RemoteAddr)
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
