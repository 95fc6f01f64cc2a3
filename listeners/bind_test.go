package listeners

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestAddresses(t *testing.T) {
	every := []string{"0.0.0.0:53"}
	if haveIPv6() {
		every = append(every, "[::]:53")
	}
	for _, c := range []struct {
		hostport string
		want     []string
		err      string
	}{
		{"192.0.2.1:53", []string{"192.0.2.1:53"}, ""},
		{"[2001:db8::1]:0", []string{"[2001:db8::1]:0"}, ""},
		{"[::ffff:192.0.2.1]:53", []string{"192.0.2.1:53"}, ""},
		{"[fe80::1%lo]:53", []string{"[fe80::1%lo]:53"}, ""},
		{":53", every, ""},
		{"192.0.2.1", nil, "want host:port"},
		{"2001:db8::1:53", nil, "want host:port"},
		{"192.0.2.1:domain", nil, `port "domain": want a number`},
		{"192.0.2.1:65536", nil, `port "65536": want a number`},
		{"does-not.exist.invalid:53", nil, "neither an address nor a name that resolves"},
	} {
		got, err := addresses(c.hostport)
		var names []string
		for _, a := range got {
			names = append(names, a.String())
		}
		if !slices.Equal(names, c.want) || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: got %v, %v; want %v, %q", c.hostport, names, err, c.want, c.err)
		}
	}
}

// haveIPv6Loopback tells whether ::1 can be bound, which many tests do.
func haveIPv6Loopback() bool {
	c, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		return false
	}
	c.Close()
	return true
}

func TestBindBothWildcards(t *testing.T) {
	if !haveIPv6() {
		t.Skip("no IPv6 here")
	}
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			first := start(t, listenOn(transport, "0.0.0.0:0"), mirror)
			_, port, _ := net.SplitHostPort(first.addrOf(t, transport))
			start(t, listenOn(transport, "[::]:"+port), mirror)
		})
	}
}

// listenOn is a Config with addresses of one transport.
func listenOn(transport string, addrs ...string) Config {
	cfg := webConfig()
	switch transport {
	case "udp":
		cfg.UDP = addrs
	case "tcp":
		cfg.TCP = addrs
	case "dot":
		cfg.DoT = addrs
	}
	return cfg
}

func TestAddressInUseTellsByWhom(t *testing.T) {
	for _, transport := range []string{"udp", "tcp", "dot"} {
		t.Run(transport, func(t *testing.T) {
			first := start(t, listenOn(transport, "127.0.0.1:0"), mirror)
			addr := first.addrOf(t, transport)
			set, err := Bind(listenOn(transport, addr), mirror)
			if err == nil {
				t.Fatal("bound twice", set.Close())
			}
			if !errors.Is(err, syscall.EADDRINUSE) {
				t.Errorf("%v is not EADDRINUSE", err)
			}
			if want := "listen " + transport + " " + addr + ": address already in use"; !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got %q, want %q…", err, want)
			}
			if _, err := os.Stat("/proc/net/udp"); err != nil {
				t.Skip("this system does not tell who holds an address")
			}
			if want := "by this program; hint: two of its addresses overlap"; !strings.Contains(err.Error(), want) {
				t.Errorf("error %q does not say %q", err, want)
			}
			protocol := map[string]string{"udp": "udp", "tcp": "tcp", "dot": "tcp"}[transport]
			h := holderOf(protocol, netip.MustParseAddrPort(addr))
			if h.name != "listeners.test" || h.pid != os.Getpid() {
				t.Errorf("held by %+v, want this process", h)
			}
		})
	}
}

func TestInUseBySystemdResolved(t *testing.T) {
	for _, h := range []holder{{name: "systemd-resolved", pid: 7}, {name: "systemd-resolve", pid: 7}} {
		by, hint := inUse(h)
		if by != " by "+h.name+" (pid 7)" || !strings.Contains(hint, "DNSStubListener=no") {
			t.Errorf("%v: %q, %q", h, by, hint)
		}
	}
	if by, hint := inUse(holder{user: "unbound"}); by != " by a process of user unbound" || !strings.HasPrefix(hint, "run as root") {
		t.Errorf("unknown process: %q, %q", by, hint)
	}
	if by, _ := inUse(holder{name: "named", pid: 7}); by != " by named (pid 7)" {
		t.Errorf("another name server: %q", by)
	}
	if by, _ := inUse(holder{}); by != "" {
		t.Errorf("unknown holder: %q", by)
	}
}

func TestBindErrors(t *testing.T) {
	addr := netip.MustParseAddrPort("192.0.2.1:53")
	for _, c := range []struct {
		errno syscall.Errno
		want  []string
	}{
		{syscall.EACCES, []string{"permission denied; hint: ", "CAP_NET_BIND_SERVICE", "above 1023"}},
		{syscall.EADDRNOTAVAIL, []string{"192.0.2.1 is not an address of this machine", "127.0.0.1", "domain-park ips"}},
	} {
		err := bindError("udp", addr, os.NewSyscallError("bind", c.errno))
		if !errors.Is(err, c.errno) {
			t.Errorf("%v does not wrap %v", err, c.errno)
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
		}
	}
}

func TestBindNamesEveryAddressThatFailsAndKeepsNone(t *testing.T) {
	taken := start(t, Config{UDP: []string{"127.0.0.1:0"}, TCP: []string{"127.0.0.1:0"}}, mirror)
	free := start(t, Config{TCP: []string{"127.0.0.1:0"}}, mirror)
	udp, tcp, good := taken.addrOf(t, "udp"), taken.addrOf(t, "tcp"), free.addrOf(t, "tcp")
	free.stop(t)
	cfg := Config{UDP: []string{udp, good}, TCP: []string{good, tcp}}
	set, err := Bind(cfg, mirror)
	if err == nil {
		t.Fatal("bound", set.Close())
	}
	for _, want := range []string{"listen udp " + udp, "listen tcp " + tcp} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "listen tcp "+good) {
		t.Errorf("%q names an address that is free", err)
	}
	start(t, Config{UDP: []string{good}, TCP: []string{good}}, mirror) // nothing was kept
}

func TestDoTWithoutTLSIsAnError(t *testing.T) {
	if set, err := Bind(Config{DoT: []string{"127.0.0.1:0"}}, mirror); err == nil {
		t.Error("bound without TLS", set.Close())
	}
}
