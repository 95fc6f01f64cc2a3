//go:build !linux

package listeners

import "net"

// quicSocketOf is conn as quic-go gets it.
func quicSocketOf(conn *net.UDPConn) net.PacketConn { return conn }
