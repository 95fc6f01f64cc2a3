package listeners

import (
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// wakeUp is how often a worker that waits looks whether it should stop, should
// the kernel ever fail to wake it, and how long one send may block.
const wakeUp = time.Second

// udpSocket makes a blocking UDP socket bound to addr, in the group of sockets
// that share it. One that must be the first is bound before it may share.
func udpSocket(addr netip.AddrPort, first bool) (fd int, err error) {
	family := unix.AF_INET
	if addr.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	steps := []func() error{
		func() error { return setUDPOptions(fd, addr.Addr()) },
		func() error { return onlyIPv6(fd, family) },
		func() error { return os.NewSyscallError("bind", unix.Bind(fd, sockaddr(addr))) },
		func() error { return share(fd) },
	}
	if !first {
		steps[2], steps[3] = steps[3], steps[2]
	}
	for _, step := range steps {
		if err := step(); err != nil {
			unix.Close(fd)
			return -1, err
		}
	}
	return fd, nil
}

// onlyIPv6 is so that 0.0.0.0 and :: can both be bound. It has to come before.
func onlyIPv6(fd, family int) error {
	if family != unix.AF_INET6 {
		return nil
	}
	return setOption(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
}

// setUDPOptions sets what differs from a socket's defaults. An inherited socket
// of [::] may take IPv4 as well; its clients are told from the others by their
// addresses, and answered by the same control messages.
func setUDPOptions(fd int, ip netip.Addr) error {
	timeout := unix.NsecToTimeval(wakeUp.Nanoseconds())
	for _, option := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, option, &timeout); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	// A larger one is that of an inherited socket, which holds what comes during a
	// restart; the kernel tells twice what it was asked for.
	if has, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF); err != nil || has < 2*receiveBufferBytes {
		if err := setOption(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBufferBytes); err != nil {
			return err
		}
	}
	// RFC 9715 §3.1: answers are small enough never to be fragmented by us, and
	// no ICMP message, which anybody can forge, makes us believe a smaller MTU.
	if ip.Is4() {
		if err := setOption(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_OMIT); err != nil {
			return err
		}
	} else {
		if err := setOption(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_OMIT); err != nil {
			return err
		}
	}
	switch { // on a wildcard, learn which address a query came to
	case !ip.IsUnspecified():
		return nil
	case ip.Is4():
		return setOption(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	}
	return setOption(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
}

func setOption(fd, level, option, value int) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, level, option, value))
}

// refuseMore makes a socket's filter drop every datagram from now on, so that
// what the socket holds is finite and can be answered before it is closed.
func refuseMore(fd int) error {
	dropAll := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}
	program := unix.SockFprog{Len: uint16(len(dropAll)), Filter: &dropAll[0]}
	return os.NewSyscallError("setsockopt",
		unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program))
}

// sockaddr is addr as bind takes it, an IPv6 zone being an interface's name.
func sockaddr(addr netip.AddrPort) unix.Sockaddr {
	ip, port := addr.Addr(), int(addr.Port())
	if ip.Is4() {
		return &unix.SockaddrInet4{Port: port, Addr: ip.As4()}
	}
	sa := &unix.SockaddrInet6{Port: port, Addr: ip.As16()}
	if nif, err := net.InterfaceByName(ip.Zone()); ip.Zone() != "" && err == nil {
		sa.ZoneId = uint32(nif.Index)
	}
	return sa
}

// boundAddr is the address that fd is bound to.
func boundAddr(fd int) (netip.AddrPort, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, os.NewSyscallError("getsockname", err)
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)), nil
	case *unix.SockaddrInet6:
		ip := netip.AddrFrom16(sa.Addr)
		if nif, err := net.InterfaceByIndex(int(sa.ZoneId)); err == nil {
			ip = ip.WithZone(nif.Name)
		}
		return netip.AddrPortFrom(ip, uint16(sa.Port)), nil
	}
	return netip.AddrPort{}, unix.EAFNOSUPPORT
}
