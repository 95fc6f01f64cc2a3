//go:build !unix

package listeners

import "net/netip"

// mayBind is always so: these systems keep no port from anybody.
func mayBind(netip.AddrPort) error { return nil }
