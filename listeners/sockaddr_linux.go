package listeners

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// clientOf is sa, which holds an address of either family, without an
// allocation: an IPv6 zone is dropped, the answer leaves by sa itself. It is
// false for any other family.
func clientOf(sa *unix.RawSockaddrInet6) (netip.AddrPort, bool) {
	switch sa.Family {
	case unix.AF_INET:
		sa4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(sa4.Addr), networkPort(&sa4.Port)), true
	case unix.AF_INET6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), networkPort(&sa.Port)), true
	}
	return netip.AddrPort{}, false
}

// networkPort reads a port that lies in network order, whatever the machine's is.
func networkPort(p *uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(p))
	return uint16(b[0])<<8 | uint16(b[1])
}

// setNetworkPort sets one.
func setNetworkPort(p *uint16, port uint16) {
	b := (*[2]byte)(unsafe.Pointer(p))
	b[0], b[1] = byte(port>>8), byte(port)
}

// control is one control message with the address that a datagram came to:
// IP_PKTINFO or, the larger, IPV6_PKTINFO. Received as it is, it names the source
// of the answer. Words, because the kernel's struct wants to be aligned.
type control [controlBytes / 8]uint64

// controlBytes is CMSG_SPACE(sizeof(struct in6_pktinfo)) on 64-bit machines and
// enough on others.
const controlBytes = 40

func (c *control) bytes() *byte { return (*byte)(unsafe.Pointer(c)) }

// turn makes of a received control message of n bytes the one for the answer and
// returns its length, 0 when the kernel shall choose the source. The interface is
// cleared: the answer takes the way that the routes say. Only a link-local
// address means nothing without its interface.
func (c *control) turn(n int) int {
	head := (*unix.Cmsghdr)(unsafe.Pointer(c))
	data := unsafe.Add(unsafe.Pointer(c), unix.CmsgLen(0))
	switch {
	case n >= unix.CmsgLen(unix.SizeofInet4Pktinfo) && head.Level == unix.IPPROTO_IP && head.Type == unix.IP_PKTINFO:
		info := (*unix.Inet4Pktinfo)(data)
		info.Ifindex = 0
	case n >= unix.CmsgLen(unix.SizeofInet6Pktinfo) && head.Level == unix.IPPROTO_IPV6 && head.Type == unix.IPV6_PKTINFO:
		info := (*unix.Inet6Pktinfo)(data)
		if linkLocal := info.Addr[0] == 0xfe && info.Addr[1]&0xc0 == 0x80; !linkLocal {
			info.Ifindex = 0
		}
	default:
		return 0
	}
	return n
}
