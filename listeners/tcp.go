package listeners

import (
	"net"
	"net/netip"

	"domainpark/query"
)

// bindTCP binds DNS over TCP (RFC 7766).
func bindTCP(hostport string, cfg *Config, r Resolver) ([]listener, error) {
	return bindEach(hostport, func(addr netip.AddrPort) (listener, error) {
		ln, err := openTCPSocket(cfg, "tcp", addr)
		if err != nil {
			return nil, err
		}
		return newStreams(ln, query.TCP, cfg, r), nil
	})
}

// isTimeout tells whether a deadline ended a read or write.
func isTimeout(err error) bool {
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}
