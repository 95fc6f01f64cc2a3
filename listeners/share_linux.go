package listeners

import (
	"context"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// A server that is to be replaced without a gap and has no service manager to
// keep its sockets is started a second time, beside itself (Config.Overlap). Both
// have sockets of the same addresses then, which the kernel puts into a group
// (SO_REUSEPORT, for processes of one user), the older process' first:
//
//   - Plain UDP: it spreads clients over all of them, and either process answers.
//     One that stops takes its sockets out of the group before it empties them
//     (leaveGroup).
//   - TCP: a program in the group gives new connections to the newer process, so
//     that nothing is in the older's queue when it closes that.
//   - QUIC: a program gives packets that open a connection, or belong to one that
//     the newer process has, to that one, and all others to the older, which
//     closes its connections in order when it stops. Without the program either
//     would get packets of the other's, and could only reset them.
//
// An index that a program returns and the group does not have means the group's
// usual choice: with one process left, that is its socket. When the older one
// closes its socket, the newer's moves to index 0.
const (
	older = 0
	newer = 1
)

// The programs are classic BPF. Offset 0 is behind the header of UDP or TCP; a
// packet that is too short for a program goes to index 0.

var toNewer = []unix.SockFilter{ret(newer)}

// toOwner is the program of a newer process whose connection IDs begin with mark.
func toOwner(mark uint16) []unix.SockFilter {
	const (
		longHeader    = 0x80 // RFC 8999 §5.1
		noNewcomer    = 0x20 // Handshake, and Retry, which clients do not send (RFC 9000 §17.2)
		shortID       = 1    // where the connection ID begins
		longID        = 6
		loadByte      = unix.BPF_LD | unix.BPF_B | unix.BPF_ABS
		loadMark      = unix.BPF_LD | unix.BPF_H | unix.BPF_ABS
		jumpIfEqual   = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		jumpIfAnyBits = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
	)
	return []unix.SockFilter{
		{Code: loadByte, K: 0},
		{Code: jumpIfAnyBits, K: longHeader, Jf: 3},
		// Initial and 0-RTT are those of newcomers. Version 2 has other numbers (RFC
		// 9369 §3.2), by which Initial and Handshake come out the same; its 0-RTT is
		// lost on the older process, and sent again after the handshake.
		{Code: jumpIfAnyBits, K: noNewcomer, Jf: 4},
		{Code: loadMark, K: longID},
		{Code: jumpIfEqual, K: uint32(mark), Jt: 2, Jf: 3},
		{Code: loadMark, K: shortID},
		{Code: jumpIfEqual, K: uint32(mark), Jf: 1},
		ret(newer),
		ret(older),
	}
}

func ret(index uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: index}
}

// onDescriptor does something to a socket of the net package.
func onDescriptor(c syscall.Conn, do func(fd int) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	if outer := raw.Control(func(fd uintptr) { err = do(int(fd)) }); outer != nil {
		return outer
	}
	return err
}

// sharing is net.ListenConfig.Control for a socket that joins a group, or is the
// first of one.
func sharing(_, _ string, raw syscall.RawConn) (err error) {
	if outer := raw.Control(func(fd uintptr) { err = share(int(fd)) }); outer != nil {
		return outer
	}
	return err
}

// share lets other sockets of our user have fd's address as well.
func share(fd int) error { return setOption(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }

// steer makes program choose the socket of fd's group.
func steer(fd int, program []unix.SockFilter) error {
	f := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	return os.NewSyscallError("setsockopt",
		unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF, &f))
}

// shareTCP opens the address of a listener that was bound alone, or puts one
// that was not in front of the older process'.
func shareTCP(ln *net.TCPListener, overlap bool) error {
	return onDescriptor(ln, func(fd int) error {
		if overlap {
			return steer(fd, toNewer)
		}
		return share(fd)
	})
}

// listenUDP binds addr in a group: a socket that was bound alone could join none
// later. So a socket that is closed again finds out whether any other process has
// the address, and which port 0 stands for.
func listenUDP(addr netip.AddrPort, overlap bool) (*net.UDPConn, error) {
	if !overlap {
		alone, err := net.ListenUDP(network("udp", addr), net.UDPAddrFromAddrPort(addr))
		if err != nil {
			return nil, err
		}
		addr = netip.AddrPortFrom(addr.Addr(), localPort(alone.LocalAddr()))
		_ = alone.Close()
	}
	lc := net.ListenConfig{Control: sharing}
	conn, err := lc.ListenPacket(context.Background(), network("udp", addr), addr.String())
	if err != nil {
		return nil, err
	}
	return conn.(*net.UDPConn), nil
}

// ownConnections has packets of connections whose IDs begin with mark, and of
// those that begin, come to conn; the older process' stay there. What came to a
// newer process before this is forgotten: it may be the older's, and QUIC sends
// again what is its own.
func ownConnections(conn *net.UDPConn, mark uint16, overlap bool) error {
	return onDescriptor(conn, func(fd int) error {
		if err := steer(fd, toOwner(mark)); err != nil || !overlap {
			return err
		}
		for {
			if _, _, err := unix.Recvfrom(fd, nil, unix.MSG_DONTWAIT|unix.MSG_TRUNC); err == unix.EAGAIN {
				return nil
			} else if err != nil && err != unix.EINTR {
				return os.NewSyscallError("recvfrom", err)
			}
		}
	})
}

// leaveGroup takes a UDP socket out of the choice for new datagrams, and leaves
// it what it holds: the kernel gives a connected socket only what its peer sends,
// and the peer is one that does not send. Answers to others still leave.
func leaveGroup(fd int, bound netip.Addr) error {
	const discard = 9 // RFC 863
	peer := bound
	switch {
	case !bound.IsUnspecified():
	case bound.Is4():
		peer = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	default:
		peer = netip.IPv6Loopback()
	}
	return os.NewSyscallError("connect", unix.Connect(fd, sockaddr(netip.AddrPortFrom(peer, discard))))
}
