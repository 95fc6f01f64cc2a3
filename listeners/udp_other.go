//go:build !linux

package listeners

import "net/netip"

func openUDP(addr netip.AddrPort, cfg *Config, r Resolver) (listener, error) {
	return openPortableUDP(addr, cfg, r)
}
