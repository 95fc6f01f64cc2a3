package listeners

import (
	"crypto/tls"
	"net"
	"net/netip"

	"domainpark/query"
)

// bindDoT binds DNS over TLS (RFC 7858): the engine of TCP with TLS in front.
// A client that offers no ALPN is served, since RFC 7858 knows none; one that
// offers others and not dot (RFC 7858 has it from IANA) is refused in the
// handshake, as RFC 7301 §3.2 says.
func bindDoT(hostport string, cfg *Config, r Resolver) ([]listener, error) {
	if cfg.TLS == nil {
		return nil, errNoTLS
	}
	config := charged(dotConfig(cfg.TLS), cfg.connections())
	return bindEach(hostport, func(addr netip.AddrPort) (listener, error) {
		ln, err := openTCPSocket(cfg, "dot", addr)
		if err != nil {
			return nil, err
		}
		s := newStreams(ln, query.DoT, cfg, r)
		s.secure = func(raw net.Conn) *tls.Conn { return tls.Server(raw, config) }
		return s, nil
	})
}

// dotConfig is a copy of given for DoT.
func dotConfig(given *tls.Config) *tls.Config {
	config := withALPN(given, "dot")
	// Answers that leave together leave in one record, also early in a
	// connection: nobody renders a page while they arrive.
	config.DynamicRecordSizingDisabled = true
	return config
}
