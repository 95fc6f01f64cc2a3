package listeners

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
)

// Obstacle is what would keep an address from being bound.
type Obstacle struct {
	Transport string // as in Bound, or admin
	Address   string // as the settings have it
	Here      bool   // on this machine or for this user: elsewhere the address may do
	Err       error  // for operators, as Bind would say it
}

// firstFreePort is where ports begin that everybody may listen on, unless the
// kernel is told otherwise.
const firstFreePort = 1024

// wish is one address that is to be bound.
type wish struct {
	transport, written string
	addr               netip.AddrPort
}

// Preview tells what would keep Bind, and the administrator's listener on the
// addresses admin, from working. It asks the kernel without taking an address
// from a server that runs.
func Preview(cfg Config, admin []string) (out []Obstacle) {
	udp := cfg.wishes("udp", cfg.UDP, &out)
	udp = append(udp, cfg.wishes("doq", cfg.DoQ, &out)...)
	tcp := cfg.wishes("tcp", cfg.TCP, &out)
	for _, t := range []struct {
		name  string
		addrs []string
	}{{"dot", cfg.DoT}, {"doh", cfg.DoH}, {"http", cfg.HTTP}, {"admin", admin}} {
		wishes := cfg.wishes(t.name, t.addrs, &out)
		tcp = append(tcp, wishes...)
		if t.name == "doh" {
			udp = append(udp, wishes...) // HTTP/3
		}
	}
	out = append(append(out, overlaps(udp)...), overlaps(tcp)...)
	seen := map[string]bool{}
	for _, protocol := range []struct {
		name   string
		wishes []wish
	}{{"udp", udp}, {"tcp", tcp}} {
		for _, w := range protocol.wishes {
			err := unreachable(protocol.name, w.addr)
			if err == nil {
				continue
			}
			// Once is enough for both protocols, and for both wildcards of one port.
			if same := w.written + err.Error(); !seen[same] {
				seen[same] = true
				out = append(out, Obstacle{w.transport, w.written, true, err})
			}
		}
	}
	return out
}

// wishes are the addresses of one transport. What is no address is an obstacle.
func (cfg *Config) wishes(transport string, written []string, out *[]Obstacle) (wishes []wish) {
	for _, hostport := range written {
		addrs, err := addresses(hostport)
		if err != nil {
			*out = append(*out, Obstacle{transport, hostport, false, err})
		}
		for _, addr := range addrs {
			wishes = append(wishes, wish{transport, hostport, addr})
		}
	}
	return wishes
}

// overlaps finds a wildcard and an address, or two wildcards, on one port of
// one protocol: the second can't be bound. The settings themselves refuse an
// address that is written twice.
func overlaps(wishes []wish) (out []Obstacle) {
	for i, w := range wishes {
		for _, earlier := range wishes[:i] {
			a, b := w.addr, earlier.addr
			if w.written == earlier.written || a.Port() == 0 || a.Port() != b.Port() || a.Addr().Is4() != b.Addr().Is4() {
				continue
			}
			if a == b || a.Addr().IsUnspecified() || b.Addr().IsUnspecified() {
				by, hint := inUse(holder{pid: os.Getpid()})
				out = append(out, Obstacle{w.transport, w.written, false,
					fmt.Errorf("overlaps %s of listen.%s: address already in use%s; hint: %s", earlier.written, earlier.transport, by, hint)})
				break
			}
		}
	}
	return out
}

// unreachable says why an address can't be bound here: it is not this
// machine's, its port is not for this user, or another program has it.
func unreachable(protocol string, addr netip.AddrPort) error {
	probe := netip.AddrPortFrom(addr.Addr(), 0)
	c, err := net.ListenUDP(network("udp", addr), net.UDPAddrFromAddrPort(probe))
	if err != nil {
		return bindError(protocol, addr, err)
	}
	c.Close()
	if port := addr.Port(); port > 0 && port < firstFreePort {
		if err := mayBind(addr); err != nil {
			return bindError(protocol, addr, err)
		}
	}
	if h := holderOf(protocol, addr); addr.Port() > 0 && h.name != "" && !h.ours() {
		by, hint := inUse(h)
		return fmt.Errorf("address already in use%s; hint: %s", by, hint)
	}
	return nil
}

// ours tells whether a process is this program, or the service manager that
// holds sockets for it.
func (h holder) ours() bool {
	own, err := os.Executable()
	return err == nil && h.name == filepath.Base(own) || h.pid == 1
}
