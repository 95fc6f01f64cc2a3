package listeners

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// lookupTimeout bounds how long a host name in the settings may take: it can
// only be one of /etc/hosts, a name server has no use for another's answer.
const lookupTimeout = 3 * time.Second

// bindEach binds every address that hostport stands for, or none.
func bindEach(hostport string, bind func(netip.AddrPort) (listener, error)) ([]listener, error) {
	addrs, err := addresses(hostport)
	if err != nil {
		return nil, err
	}
	var bound []listener
	for _, addr := range addrs {
		l, err := bind(addr)
		if err != nil {
			for _, l := range bound {
				err = errors.Join(err, l.close())
			}
			if len(addrs) > 1 {
				err = fmt.Errorf("%s: %w", addr, err)
			}
			return nil, err
		}
		bound = append(bound, l)
	}
	return bound, nil
}

// addresses are what host:port of the settings stands for. An empty host is
// every address of the machine, as two: 0.0.0.0 and, where the machine has
// IPv6, ::. They never overlap, because our IPv6 sockets take no IPv4.
func addresses(hostport string) ([]netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, errors.New("want host:port, such as 192.0.2.1:53, [2001:db8::1]:53 or :53")
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("port %q: want a number from 0 to 65535", service)
	}
	ips, err := hostAddrs(host)
	if err != nil {
		return nil, err
	}
	var out []netip.AddrPort
	for _, ip := range ips {
		out = append(out, netip.AddrPortFrom(ip.Unmap(), uint16(port)))
	}
	return out, nil
}

func hostAddrs(host string) ([]netip.Addr, error) {
	if host == "" {
		if !haveIPv6() {
			return []netip.Addr{netip.IPv4Unspecified()}, nil
		}
		return []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}, nil
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("host %q is neither an address nor a name that resolves; hint: use an address", host)
	}
	return slices.Compact(ips), nil
}

// haveIPv6 tells whether an IPv6 socket can be bound at all; kernels are booted
// without.
func haveIPv6() bool {
	c, err := net.ListenPacket("udp6", "[::]:0") // not ::1, which a machine with other addresses may lack
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// tellIPv6 says in the log when addresses without a host, which are every
// address of the machine, come to IPv4 alone.
func (cfg *Config) tellIPv6() {
	var every []string
	for _, addr := range slices.Concat(cfg.UDP, cfg.TCP, cfg.DoT, cfg.DoH, cfg.DoQ, cfg.HTTP) {
		if strings.HasPrefix(addr, ":") && !slices.Contains(every, addr) {
			every = append(every, addr)
		}
	}
	if len(every) > 0 && !haveIPv6() {
		cfg.Log.Info("this machine has no IPv6: addresses without a host are those of IPv4 alone", "addresses", every)
	}
}

// acceptFor is how long a server that stops still accepts what the kernel has
// queued at the socket at, which is for transport: those connections would be
// reset with it. At an inherited socket they wait for the next process, which has
// more time for them; and clients that this one has asked to go come back to it.
func (cfg *Config) acceptFor(transport string, at net.Addr) time.Duration {
	if cfg.Inherited.has(transport, addrOf(at)) {
		return 0
	}
	return min(lastLook, cfg.now().Timeouts.Shutdown)
}

// network is tcp4, tcp6, udp4 or udp6. With the family named, the net package
// makes an IPv6 socket that takes no IPv4.
func network(protocol string, addr netip.AddrPort) string {
	if addr.Addr().Is4() {
		return protocol + "4"
	}
	return protocol + "6"
}

// openTCPSocket binds a TCP socket for transport, or takes the one that was
// inherited. Errors are for operators.
func openTCPSocket(cfg *Config, transport string, addr netip.AddrPort) (*net.TCPListener, error) {
	if ln, err := cfg.Inherited.stream(transport, addr); ln != nil || err != nil {
		return ln, err
	}
	// Keep-alive probes would cost four system calls a connection, and find
	// nothing that the idle timeout does not find sooner.
	lc := net.ListenConfig{KeepAlive: -1}
	// A second path gains nothing in an exchange of two packets.
	lc.SetMultipathTCP(false)
	if cfg.Overlap {
		lc.Control = sharing
	}
	ln, err := lc.Listen(context.Background(), network("tcp", addr), addr.String())
	if err != nil {
		return nil, bindError("tcp", addr, err)
	}
	tcp := ln.(*net.TCPListener)
	if err := shareTCP(tcp, cfg.Overlap); err != nil {
		return nil, errors.Join(err, tcp.Close())
	}
	return tcp, nil
}

// Listen opens the TCP sockets of hostport for the administrator's server, which
// is another package's: inherited or shared as those of queries are.
func (cfg Config) Listen(hostport string) (out []net.Listener, err error) {
	addrs, err := addresses(hostport)
	if err != nil {
		return nil, err
	}
	for _, addr := range addrs {
		ln, err := openTCPSocket(&cfg, "admin", addr)
		if err != nil {
			for _, ln := range out {
				err = errors.Join(err, ln.Close())
			}
			return nil, err
		}
		out = append(out, ln)
	}
	return out, nil
}

// openUDPSocket binds a UDP socket in the runtime's poller, for QUIC and for
// systems without recvmmsg, or takes the one that was inherited. Errors are for
// operators.
func openUDPSocket(cfg *Config, transport string, addr netip.AddrPort) (*net.UDPConn, error) {
	if conn, err := cfg.Inherited.packets(transport, addr); conn != nil || err != nil {
		return conn, err
	}
	conn, err := listenUDP(addr, cfg.Overlap)
	if err != nil {
		return nil, bindError("udp", addr, err)
	}
	return conn, nil
}

// bindError says what is wrong and what to do, where the system's error says
// only the former. protocol is tcp or udp. It wraps the system's error.
func bindError(protocol string, addr netip.AddrPort, err error) error {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return err
	}
	switch {
	case errors.Is(errno, syscall.EADDRINUSE):
		by, hint := inUse(holderOf(protocol, addr))
		return fmt.Errorf("%w%s; hint: %s", errno, by, hint)
	case errors.Is(errno, syscall.EACCES), errors.Is(errno, syscall.EPERM):
		return fmt.Errorf("%w; hint: ports below 1024 need root or CAP_NET_BIND_SERVICE (systemd: "+
			"AmbientCapabilities=CAP_NET_BIND_SERVICE); otherwise listen on a port above 1023", errno)
	case errors.Is(errno, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%w: %s is not an address of this machine, which has %s; hint: see domain-park ips",
			errno, addr.Addr(), machineAddrs())
	}
	return errno
}

// holder is a process that holds an address; the zero value is an unknown one.
type holder struct {
	name string // empty: not known
	pid  int
	user string // whose it is, when nothing else is known
}

func inUse(h holder) (by, hint string) {
	hint = "stop what holds it, or listen on another address or port"
	switch {
	case h.pid == os.Getpid():
		return " by this program", "two of its addresses overlap, such as 0.0.0.0 and 127.0.0.1 of one port; remove one"
	case h.name != "":
		by = fmt.Sprintf(" by %s (pid %d)", h.name, h.pid)
	case h.user != "":
		by = " by a process of user " + h.user
		hint = "run as root to see which; " + hint
	}
	if program, err := os.Executable(); err == nil && h.name == filepath.Base(program) && h.pid != os.Getpid() {
		hint = "to take over from it without a gap, start this one with --overlap and stop that one when this is ready; otherwise " + hint
	}
	if strings.HasPrefix(h.name, "systemd-resolve") {
		hint = "set DNSStubListener=no in /etc/systemd/resolved.conf and restart systemd-resolved, " +
			"or listen on a specific address of this machine instead of all"
	}
	return by, hint
}

// machineAddrs lists the machine's addresses for an error message.
func machineAddrs() string {
	const most = 8 // a container host has hundreds
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return "unknown ones"
	}
	var names []string
	for _, a := range addrs {
		if len(names) == most {
			names = append(names, "…")
			break
		}
		if n, ok := a.(*net.IPNet); ok {
			names = append(names, n.IP.String())
		}
	}
	return strings.Join(names, ", ")
}
