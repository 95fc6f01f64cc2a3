//go:build !linux

package listeners

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
)

var errOverlap = errors.New("two servers can have the same addresses on Linux alone")

func sharing(string, string, syscall.RawConn) error { return errOverlap }

func shareTCP(*net.TCPListener, bool) error { return nil }

func listenUDP(addr netip.AddrPort, overlap bool) (*net.UDPConn, error) {
	if overlap {
		return nil, errOverlap
	}
	return net.ListenUDP(network("udp", addr), net.UDPAddrFromAddrPort(addr))
}

func ownConnections(*net.UDPConn, uint16, bool) error { return nil }
