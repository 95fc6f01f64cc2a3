package listeners

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Inherited is the sockets that the program was started with: a service manager
// has bound them and keeps them open while the program restarts, so that what
// arrives meanwhile waits in them. Nothing is ever done to one that would outlast
// this process and keep the next from reading it: it is not shut down, connected
// or filtered, and no socket of our own joins its address, because the kernel
// would give that a share of the datagrams, which would go with it.
//
// The nil one has no sockets. Its methods are safe for concurrent use.
type Inherited struct {
	addresses []inheritedAddress
}

// inheritedAddress is the sockets of one address; several only for udp.
type inheritedAddress struct {
	transport string
	addr      netip.AddrPort
	fds       []int // blocking, never closed, duplicated for each listener
}

// inheritable are the names that a socket may have: the transports, and the
// administrator's listener. A doh socket for datagrams is one of doh3.
var inheritable = map[string]int{
	"udp": unix.SOCK_DGRAM, "doh3": unix.SOCK_DGRAM, "doq": unix.SOCK_DGRAM,
	"tcp": unix.SOCK_STREAM, "dot": unix.SOCK_STREAM, "doh": unix.SOCK_STREAM,
	"http": unix.SOCK_STREAM, "admin": unix.SOCK_STREAM,
}

// Inherit takes over files, each a bound socket named after its transport: udp,
// tcp, dot, doh, doh3, doq, http or admin. Its error tells all that is wrong.
func Inherit(files []*os.File) (*Inherited, error) {
	if len(files) == 0 {
		return nil, nil
	}
	i := new(Inherited)
	var errs []error
	for n, f := range files {
		if err := i.add(f); err != nil {
			errs = append(errs, fmt.Errorf("inherited socket %d, named %q: %w", n+1, f.Name(), err))
		}
		_ = f.Close()
	}
	for _, a := range i.addresses {
		if a.transport == "doh3" && i.find("doh", a.addr) == nil {
			errs = append(errs, fmt.Errorf("inherited socket doh3 %s: there is no doh socket of this address; hint: pass both, or neither", a.addr))
		}
	}
	return i, errors.Join(errs...)
}

func (i *Inherited) add(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	fd := -1
	if outer := raw.Control(func(theirs uintptr) { fd, err = duplicate(int(theirs)) }); outer != nil || err != nil {
		return errors.Join(outer, err)
	}
	transport, addr, err := examine(fd, f.Name())
	if err == nil {
		err = i.keep(transport, addr, fd)
	}
	if err != nil {
		_ = unix.Close(fd)
	}
	return err
}

func (i *Inherited) keep(transport string, addr netip.AddrPort, fd int) error {
	known := i.find(transport, addr)
	switch {
	case known == nil:
		i.addresses = append(i.addresses, inheritedAddress{transport, addr, []int{fd}})
	case transport != "udp":
		return fmt.Errorf("there is another one of %s; hint: only udp gains from several sockets of one address", addr)
	default:
		known.fds = append(known.fds, fd)
	}
	return nil
}

// examine tells what a socket is for, from its name and what it is.
func examine(fd int, name string) (transport string, addr netip.AddrPort, err error) {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return "", addr, fmt.Errorf("it is no socket: %w", err)
	}
	if name == "doh" && kind == unix.SOCK_DGRAM {
		name = "doh3"
	}
	want, ok := inheritable[name]
	switch {
	case !ok:
		return "", addr, errors.New("want the name udp, tcp, dot, doh, doh3, doq, http or admin; hint: set FileDescriptorName= in the socket unit")
	case kind != want && want == unix.SOCK_DGRAM:
		return "", addr, errors.New("want a socket for datagrams; hint: ListenDatagram= in the socket unit")
	case kind != want:
		return "", addr, errors.New("want a socket for streams; hint: ListenStream= in the socket unit")
	}
	if addr, err = boundAddr(fd); err != nil {
		return "", addr, fmt.Errorf("want a socket of IPv4 or IPv6: %w", err)
	}
	if addr.Port() == 0 {
		return "", addr, errors.New("it is not bound to an address")
	}
	if want == unix.SOCK_STREAM {
		return name, addr, examineListening(fd)
	}
	return name, addr, nil
}

// examineListening sees to it that a socket listens, and lets as many
// connections wait to be accepted as one of our own does: what the kernel allows.
func examineListening(fd int) error {
	listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	switch {
	case err != nil:
		return os.NewSyscallError("getsockopt", err)
	case listens == 0:
		return errors.New("it does not listen; hint: Accept=no in the socket unit")
	}
	const asMuchAsAllowed = 1<<16 - 1 // capped by net.core.somaxconn
	return os.NewSyscallError("listen", unix.Listen(fd, asMuchAsAllowed))
}

// Has tells whether there are sockets of transport.
func (i *Inherited) Has(transport string) bool { return len(i.Addresses(transport)) > 0 }

// Addresses lists where the sockets of transport are bound, as settings do. A
// Config with this list, or a part of it, uses them.
func (i *Inherited) Addresses(transport string) (out []string) {
	if i == nil {
		return nil
	}
	for _, a := range i.addresses {
		if a.transport == transport {
			out = append(out, a.addr.String())
		}
	}
	return out
}

func (i *Inherited) has(transport string, addr netip.AddrPort) bool {
	return i.find(transport, addr) != nil
}

func (i *Inherited) find(transport string, addr netip.AddrPort) *inheritedAddress {
	if i == nil {
		return nil
	}
	n := slices.IndexFunc(i.addresses, func(a inheritedAddress) bool { return a.transport == transport && a.addr == addr })
	if n < 0 {
		return nil
	}
	return &i.addresses[n]
}

// datagrams duplicates the sockets of addr for workers that block in them. There
// may be none.
func (i *Inherited) datagrams(addr netip.AddrPort) (fds []int, err error) {
	a := i.find("udp", addr)
	if a == nil {
		return nil, nil
	}
	for _, fd := range a.fds {
		own, err := duplicate(fd)
		if err == nil {
			// The flag belongs to the socket, not to the descriptor. A service
			// manager only asks such a socket whether anything is in it.
			err = os.NewSyscallError("fcntl", unix.SetNonblock(own, false))
		}
		if err != nil {
			return nil, errors.Join(err, closeFDs(fds))
		}
		fds = append(fds, own)
	}
	return fds, nil
}

// stream is a listener on the socket of addr; nil when there is none. Its
// connections send keep-alive probes, which there is no way to tell the net
// package not to do: four system calls for each connection.
func (i *Inherited) stream(transport string, addr netip.AddrPort) (*net.TCPListener, error) {
	f, err := i.file(transport, addr)
	if f == nil {
		return nil, err
	}
	defer f.Close()
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	return ln.(*net.TCPListener), nil
}

// packets is the socket of addr in the runtime's poller, for QUIC; nil when
// there is none.
func (i *Inherited) packets(transport string, addr netip.AddrPort) (*net.UDPConn, error) {
	f, err := i.file(transport, addr)
	if f == nil {
		return nil, err
	}
	defer f.Close()
	conn, err := net.FilePacketConn(f)
	if err != nil {
		return nil, err
	}
	return conn.(*net.UDPConn), nil
}

func (i *Inherited) file(transport string, addr netip.AddrPort) (*os.File, error) {
	a := i.find(transport, addr)
	if a == nil {
		return nil, nil
	}
	fd, err := duplicate(a.fds[0])
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), transport), nil
}

func duplicate(fd int) (int, error) {
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	return own, os.NewSyscallError("fcntl", err)
}

func closeFDs(fds []int) error {
	var errs []error
	for _, fd := range fds {
		errs = append(errs, unix.Close(fd))
	}
	return errors.Join(errs...)
}
