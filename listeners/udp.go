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

	// receiveBufferBytes is what the kernel is asked to hold for a socket; it
	// doubles that, which is 2,700 small datagrams, and caps it at twice
	// net.core.rmem_max. At 250,000 queries a second that is 10 ms: as long as
	// a worker may be kept off its CPU without losing anything, and as long
	// as answers come late in overload. With 4 MiB they came 40 ms late, and a
	// core that also received (RPS) answered a tenth less of them: the queue
	// no longer fitted its cache. 512 KiB answered no more (bench/overload).
	receiveBufferBytes = 1 << 20
)

// bindUDP binds hostport: on Linux with a socket and a thread for each worker
// (udp_linux.go), elsewhere with the portable loop (udp_portable.go).
func bindUDP(hostport string, cfg *Config, r Resolver) ([]listener, error) {
	return bindEach(hostport, func(addr netip.AddrPort) (listener, error) {
		return openUDP(addr, cfg, r)
	})
}

// answerable tells whether anybody can be answered at client. Nobody can at port 0
// (RFC 768); and what is sent to the unspecified address goes to loopback, so that
// an answer would reach a service of this machine that never asked.
func answerable(client netip.AddrPort) bool {
	return client.Port() != 0 && !client.Addr().IsUnspecified()
}

// udpWorkers is how many workers an address gets: one for each CPU that the
// program may use.
func udpWorkers(cfg *Config) int {
	if cfg.Workers > 0 {
		return cfg.Workers
	}
	return min(runtime.GOMAXPROCS(0), runtime.NumCPU()) // a program may have spare processors
}
