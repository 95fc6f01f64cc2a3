package listeners

import (
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"github.com/quic-go/quic-go"
)

// quicBatch is how many datagrams one read takes at most; quic-go asks for eight.
const quicBatch = 8

// quicSocket is a UDP socket for quic-go that reads and writes by system calls
// of which the scheduler knows nothing, for the reason that calls gives. Measured:
// a quarter less CPU for an answer with fifty queries on their way, and a tenth
// less for a new connection.
type quicSocket struct {
	*net.UDPConn
	conn syscall.RawConn
	ipv6 bool // the socket is, and IPv4 addresses are mapped

	// Of the read under way; quic-go has one reader.
	reading  func(fd uintptr) bool
	messages []ipv4.Message
	n        int
	errno    syscall.Errno
	heads    [quicBatch]mmsghdr
	vectors  [quicBatch]unix.Iovec
	clients  [quicBatch]unix.RawSockaddrInet6
}

// quicSocketOf is conn as quic-go gets it.
func quicSocketOf(conn *net.UDPConn) net.PacketConn {
	raw, err := conn.SyscallConn()
	if err != nil {
		return conn
	}
	s := &quicSocket{UDPConn: conn, conn: raw}
	s.reading = s.tryRead
	var own unix.Sockaddr
	err = raw.Control(func(fd uintptr) { own, _ = unix.Getsockname(int(fd)) })
	_, s.ipv6 = own.(*unix.SockaddrInet6)
	if err != nil || own == nil {
		return conn
	}
	for i := range s.heads {
		h := &s.heads[i].Msghdr
		h.Name = (*byte)(unsafe.Pointer(&s.clients[i]))
		h.Iov = &s.vectors[i]
		h.SetIovlen(1)
	}
	return s
}

var _ quic.OOBCapablePacketConn = (*quicSocket)(nil)

// ReadBatch reads what has arrived into messages, each of which has one buffer,
// and waits until something has. Flags are not used.
func (s *quicSocket) ReadBatch(messages []ipv4.Message, _ int) (int, error) {
	s.messages = messages[:min(len(messages), quicBatch)]
	err := s.conn.Read(s.reading)
	if err == nil && s.errno != 0 {
		err = &net.OpError{Op: "read", Net: "udp", Source: s.LocalAddr(), Err: os.NewSyscallError("recvmmsg", s.errno)}
	}
	if err != nil {
		return 0, err
	}
	for i := range s.messages[:s.n] {
		h, m := &s.heads[i], &s.messages[i]
		m.N, m.NN, m.Flags, m.Addr = int(h.n), int(h.Controllen), int(h.Flags), nil
		if a := udpAddr(&s.clients[i]); h.Namelen > 0 && a != nil {
			m.Addr = a
		}
	}
	return s.n, nil
}

// tryRead reads once. It tells whether that is the end of it; otherwise it is
// called again when there is something to read. A socket that other processes
// have as well may be a blocking one, whatever we set: each call says that it
// must not wait, since all of Go's scheduler would wait with it.
func (s *quicSocket) tryRead(fd uintptr) bool {
	for i := range s.messages {
		h, m := &s.heads[i].Msghdr, &s.messages[i]
		s.vectors[i].Base = &m.Buffers[0][0]
		s.vectors[i].SetLen(len(m.Buffers[0]))
		h.Namelen = unix.SizeofSockaddrInet6
		h.Control = &m.OOB[0]
		h.SetControllen(len(m.OOB))
	}
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&s.heads)), uintptr(len(s.messages)), unix.MSG_DONTWAIT, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		s.n, s.errno = int(n), errno
		return errno != unix.EAGAIN
	}
}

// udpAddr is sa as package net gives it, in one piece of memory. The zone of a
// link-local address is its number, which package net takes for a name.
func udpAddr(sa *unix.RawSockaddrInet6) *net.UDPAddr {
	client, ok := clientOf(sa)
	if !ok {
		return nil
	}
	a := new(struct {
		net.UDPAddr
		ip [16]byte
	})
	a.Port = int(client.Port())
	if ip := client.Addr(); ip.Is4() {
		a.IP = a.ip[:copy(a.ip[:], ip.AsSlice())]
	} else {
		a.ip = ip.As16()
		a.IP = a.ip[:]
		if sa.Scope_id != 0 {
			a.Zone = strconv.Itoa(int(sa.Scope_id))
		}
	}
	return &a.UDPAddr
}

// datagram is one on its way out.
type datagram struct {
	head   unix.Msghdr
	vector unix.Iovec
	client unix.RawSockaddrInet6
	sent   int
	errno  syscall.Errno
	send   func(fd uintptr) // made once: a method value for each call would be garbage
}

var datagrams = sync.Pool{New: func() any {
	d := new(datagram)
	d.send = d.trySend
	return d
}}

// WriteMsgUDP implements quic.OOBCapablePacketConn. What the kernel does not take
// at once is left to package net, which waits, or says in its own words what is
// wrong: quic-go knows those.
func (s *quicSocket) WriteMsgUDP(p, oob []byte, addr *net.UDPAddr) (n, oobn int, err error) {
	to := addr.AddrPort()
	if len(p) == 0 || addr.Zone != "" || !s.ipv6 && !to.Addr().Unmap().Is4() {
		return s.UDPConn.WriteMsgUDP(p, oob, addr)
	}
	d := datagrams.Get().(*datagram)
	defer datagrams.Put(d)
	d.address(to, s.ipv6)
	d.vector.Base = &p[0]
	d.vector.SetLen(len(p))
	d.head.Control = unsafe.SliceData(oob)
	d.head.SetControllen(len(oob))
	err = s.conn.Control(d.send)
	runtime.KeepAlive(p)
	runtime.KeepAlive(oob)
	d.vector.Base, d.head.Control = nil, nil
	if err != nil || d.errno != 0 {
		return s.UDPConn.WriteMsgUDP(p, oob, addr)
	}
	return d.sent, len(oob), nil
}

// address makes d one for to, over a socket of IPv6 or of IPv4.
func (d *datagram) address(to netip.AddrPort, ipv6 bool) {
	d.head = unix.Msghdr{Name: (*byte)(unsafe.Pointer(&d.client)), Iov: &d.vector}
	d.head.SetIovlen(1)
	if ipv6 {
		d.client = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: to.Addr().As16()}
		setNetworkPort(&d.client.Port, to.Port())
		d.head.Namelen = unix.SizeofSockaddrInet6
		return
	}
	sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(&d.client))
	*sa = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: to.Addr().Unmap().As4()}
	setNetworkPort(&sa.Port, to.Port())
	d.head.Namelen = unix.SizeofSockaddrInet4
}

// trySend sends d without waiting.
func (d *datagram) trySend(fd uintptr) {
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&d.head)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if errno == unix.EINTR {
			continue
		}
		d.sent, d.errno = int(n), errno
		return
	}
}
