package main

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/miekg/dns"

	"domainpark/query"
)

// watchdogShare is how many times in the service manager's interval the server
// asks itself: one datagram that is lost in overload must not end it.
const watchdogShare = 4

// watch asks the server itself for name, tells the service manager that all is
// well as long as it is answered, and has it restart the program by silence
// otherwise. It returns when ctx ends, or at once without a watchdog.
func (srv *server) watch(ctx context.Context, name string, log *slog.Logger) {
	const keep = false
	interval, err := sd.SdWatchdogEnabled(keep)
	if err != nil {
		log.Warn("there is no watchdog", "error", err)
	}
	if err != nil || interval <= 0 {
		return
	}
	every := interval / watchdogShare
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for {
		if err := srv.newProbe(name).answered(every / 2); err == nil {
			tellManager(log, sd.SdNotifyWatchdog)
		} else {
			log.Error("the server does not answer itself; when that stays so, the service manager restarts it", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
	}
}

// probe is a query that the server asks itself, over UDP or else TCP, which the
// resolver behind all transports answers alike; without these two it is asked
// directly.
type probe struct {
	srv       *server
	transport query.Transport
	address   string // empty: ask the resolver
	message   []byte
}

func (srv *server) newProbe(name string) *probe {
	message, err := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeSOA).Pack()
	if err != nil {
		panic(err) // the settings have names that fit a message, and no others
	}
	p := &probe{srv: srv, transport: query.UDP, message: message}
	if p.address = srv.reachable("udp"); p.address == "" { // a reload may move it
		p.transport, p.address = query.TCP, srv.reachable("tcp")
	}
	return p
}

// reachable is where this machine reaches the first listener of transport; empty
// when there is none.
func (srv *server) reachable(transport string) string {
	for _, b := range srv.set.Bound() {
		if addr, err := netip.ParseAddrPort(b.Addr.String()); err == nil && b.Transport == transport {
			switch {
			case !addr.Addr().IsUnspecified():
			case addr.Addr().Is4():
				addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), addr.Port())
			default:
				addr = netip.AddrPortFrom(netip.IPv6Loopback(), addr.Port())
			}
			return addr.String()
		}
	}
	return ""
}

// answered asks, and returns nil when the answer came in time. A query that
// anybody else asked meanwhile over the transport, and that came to its end, is
// as good: in a flood the own one may be lost, and the operator may have denied
// this machine's addresses.
func (p *probe) answered(within time.Duration) error {
	before := p.ended()
	err := p.ask(within)
	if err != nil && p.ended() != before {
		return nil
	}
	return err
}

// ended is how many queries came to their end over the transport.
func (p *probe) ended() (n uint64) {
	count := p.srv.counters.Snapshot()
	for v := range query.Verdicts {
		n += count.Ended(p.transport, v)
	}
	return n
}

func (p *probe) ask(within time.Duration) error {
	if p.address == "" {
		q := &query.Query{Message: p.message, Transport: p.transport, Received: time.Now(),
			Client: netip.AddrPortFrom(netip.IPv6Loopback(), 53)}
		p.srv.resolver.Resolve(nil, q)
		return nil
	}
	c, err := net.DialTimeout(strings.ToLower(p.transport.String()), p.address, within)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	conn := &dns.Conn{Conn: c}
	if _, err := conn.Write(p.message); err != nil { // with its length over TCP
		return err
	}
	_, err = conn.Read(make([]byte, dns.MaxMsgSize))
	return err
}
