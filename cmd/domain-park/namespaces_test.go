//go:build linux

package main

import (
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// namespace is a network of the kernel's that nobody else sees. It has no name,
// only this descriptor: it ends with the process, however that ends.
type namespace struct {
	t  *testing.T
	fd *os.File
}

// namespaces is a field of three machines: a server, a network of clients, and
// a liar who has all of their addresses. Both are wired to the server.
//
//	liar ── server ── clients
func namespaces(t *testing.T, family string) *field {
	t.Helper()
	tool(t, "ip")
	server, clients, liar := newNamespace(t), newNamespace(t), newNamespace(t)
	on := &field{atServer: server.do, atClients: clients.do, atLiar: liar.do}
	of := func(ipv4, ipv6 string) string { return map[string]string{"IPv4": ipv4, "IPv6": ipv6}[family] }
	on.server = netip.MustParseAddr(of("192.0.2.53", "fd00::53"))
	on.host = netip.MustParseAddr(of("198.51.1.1", "2001:db8:50:100::1"))
	on.neighbour = netip.MustParseAddr(of("198.51.1.2", "2001:db8:50:101::1"))
	on.stranger = netip.MustParseAddr(of("198.99.0.1", "2001:db8:99::1"))
	everybody := of("198.0.0.0/8", "2001:db8::/32")

	toLiar, toClients := of("10.0.1.", "fd00:1::"), of("10.0.2.", "fd00:2::")
	bits := of("/24", "/64")
	if family == "IPv6" {
		for _, ns := range []namespace{server, clients, liar} {
			ns.set("ipv6/conf/default/accept_dad", "0") // the kernel would wait for a second
			ns.set("ipv6/ip_nonlocal_bind", "1")        // IPv4 does without
		}
	}
	server.ip("link add liar type veth peer name eth0 netns /proc/self/fd/3", liar)
	server.ip("link add clients type veth peer name eth0 netns /proc/self/fd/3", clients)
	for ns, link := range map[namespace][2]string{server: {"lo"}, clients: {"lo", "eth0"}, liar: {"lo", "eth0"}} {
		for _, l := range link {
			if l != "" {
				ns.ip("link set " + l + " up")
			}
		}
	}
	for link, net := range map[string]string{"liar": toLiar, "clients": toClients} {
		server.address(net+"1"+bits, link)
		server.ip("link set " + link + " up")
	}
	server.address(on.server.String(), "lo")
	server.ip("route add " + everybody + " via " + toClients + "2")
	for ns, net := range map[namespace]string{liar: toLiar, clients: toClients} {
		ns.address(net+"2"+bits, "eth0")
		ns.ip("route add local " + everybody + " dev lo")
		ns.ip("route add " + on.server.String() + " via " + net + "1")
	}
	if family == "IPv4" {
		// The kernel would believe a liar no word.
		server.set("ipv4/conf/all/rp_filter", "0")
		server.set("ipv4/conf/liar/rp_filter", "0")
	}
	return on
}

func newNamespace(t *testing.T) namespace {
	t.Helper()
	ns := namespace{t: t}
	var err error
	inThread(t, func() {
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			ns.fd, err = os.Open("/proc/thread-self/ns/net")
		}
	})
	if err == unix.EPERM {
		t.Skip("only root may make network namespaces")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.fd.Close() })
	return ns
}

// do runs f in a namespace: sockets that it makes and programs that it starts
// stay there.
func (ns namespace) do(f func()) {
	ns.t.Helper()
	inThread(ns.t, func() {
		if err := unix.Setns(int(ns.fd.Fd()), unix.CLONE_NEWNET); err != nil {
			ns.t.Fatal(err)
		}
		f()
	})
}

// inThread runs f, which may change its thread's namespace.
func inThread(t *testing.T, f func()) {
	t.Helper()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer home.Close()
	runtime.LockOSThread()
	defer func() {
		// A thread that can't return is left locked, and ends with its goroutine.
		if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err == nil || err == unix.EPERM {
			runtime.UnlockOSThread()
		}
	}()
	f()
}

// ip runs iproute2. What it calls /proc/self/fd/3 is other.
func (ns namespace) ip(command string, other ...namespace) {
	ns.t.Helper()
	args := strings.Fields(command)
	if strings.Contains(command, ":") {
		args = append([]string{"-6"}, args...)
	}
	cmd := exec.Command(tool(ns.t, "ip"), args...)
	for _, o := range other {
		cmd.ExtraFiles = append(cmd.ExtraFiles, o.fd)
	}
	ns.do(func() {
		if out, err := cmd.CombinedOutput(); err != nil {
			ns.t.Fatalf("%s: %v\n%s", cmd, err, out)
		}
	})
}

// address gives a link an address that can be used at once.
func (ns namespace) address(addr, link string) {
	ns.t.Helper()
	if strings.Contains(addr, ":") {
		ns.ip("addr add " + addr + " dev " + link + " nodad")
	} else {
		ns.ip("addr add " + addr + " dev " + link)
	}
}

// set writes a setting below /proc/sys/net.
func (ns namespace) set(name, value string) {
	ns.t.Helper()
	ns.do(func() {
		if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0); err != nil {
			ns.t.Fatal(err)
		}
	})
}
