package listeners

import (
	"net/netip"
	"runtime"
)

// Sizes for UDP.
const (
	// queryBytes is the longest query that is read whole: what servers of the
	// past announced at most in EDNS. A longer one is cut, and parsed as it is.
	queryBytes = 4096

	// answerBytes is the room for an answer, which the resolver keeps to (DNS
	// flag day 2020; RFC 9715 §3.1 would allow 1400). A longer one would still
	// be sent, at the cost of an allocation.
	answerBytes = 1232

	// receiveBufferBytes is what the kernel is asked to hold for a socket. At
	// 200,000 queries a second it is full after some 30 ms: longer would only
	// add delay. The kernel caps it at net.core.rmem_max and doubles it.
	receiveBufferBytes = 4 << 20
)

// bindUDP binds hostport: on Linux with a socket and a thread for each worker
// (udp_linux.go), elsewhere with the portable loop (udp_portable.go).
func bindUDP(hostport string, cfg *Config, r Resolver) ([]listener, error) {
	return bindEach(hostport, func(addr netip.AddrPort) (listener, error) {
		return openUDP(addr, cfg, r)
	})
}

// udpWorkers is how many workers an address gets: one for each CPU that the
// program may use.
func udpWorkers(cfg *Config) int {
	if cfg.Workers > 0 {
		return cfg.Workers
	}
	return runtime.GOMAXPROCS(0)
}
