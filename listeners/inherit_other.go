//go:build !linux

package listeners

import (
	"errors"
	"net"
	"net/netip"
	"os"
)

// Inherited is the sockets that the program was started with: none, as only
// Linux has service managers that pass them on. All methods are those of the
// Linux version.
type Inherited struct{}

// Inherit refuses files.
func Inherit(files []*os.File) (*Inherited, error) {
	if len(files) == 0 {
		return nil, nil
	}
	return nil, errors.New("sockets can be inherited on Linux alone")
}

// Has tells whether there are sockets of transport.
func (*Inherited) Has(string) bool { return false }

// Addresses lists where the sockets of transport are bound.
func (*Inherited) Addresses(string) []string { return nil }

func (*Inherited) has(string, netip.AddrPort) bool { return false }

func (*Inherited) stream(string, netip.AddrPort) (*net.TCPListener, error) { return nil, nil }

func (*Inherited) packets(string, netip.AddrPort) (*net.UDPConn, error) { return nil, nil }
