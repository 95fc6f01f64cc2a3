package audit

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"domainpark/query"

	"github.com/miekg/dns"
)

const (
	// maxServers bounds the name servers of a zone; 13 is what fits into the
	// 512 bytes of a referral.
	maxServers = 13

	// maxAddresses bounds the addresses of one name server.
	maxAddresses = 4

	// parentServers is how many servers of the parent zone are tried.
	parentServers = 4
)

// delegation is what the parent zone says of a domain.
type delegation struct {
	parent string // the zone's name
	err    error  // why there is none; nothing else is set then
	names  []string
	glue   map[string][]netip.Addr // of names in the domain
	ds     answer
}

// parentZone is a zone that domains are delegated from, and some of its servers.
type parentZone struct {
	name    string
	servers []netip.AddrPort
	err     error // why there is none; nothing else is set then
}

// parentOf finds the zone in which the domain's delegation is. What could not be
// found is looked for again.
func (a *Audit) parentOf(ctx context.Context, domain string) parentZone {
	_, above, _ := strings.Cut(domain, ".")
	zone, err := a.parents.get(ctx, above, func() (zone parentZone, keep bool) {
		zone.name, zone.servers, zone.err = a.findParent(ctx, above)
		return zone, zone.err == nil
	})
	if err != nil {
		return parentZone{err: err}
	}
	return zone
}

// findParent asks the resolver which zone a name lies in, and for its servers.
func (a *Audit) findParent(ctx context.Context, name string) (zone string, servers []netip.AddrPort, err error) {
	soa := a.resolve(ctx, name, dns.TypeSOA)
	if text := soa.failed(); text != "" {
		return "", nil, fmt.Errorf("the zone of %s can't be found: %s", name, text)
	}
	for _, rr := range slices.Concat(soa.msg.Answer, soa.msg.Ns) {
		if rr, ok := rr.(*dns.SOA); ok && within(name, plain(rr.Hdr.Name)) {
			zone = plain(rr.Hdr.Name)
		}
	}
	if zone == "" {
		return "", nil, fmt.Errorf("the zone of %s can't be found: the resolver's answer has no SOA record", name)
	}
	ns := a.resolve(ctx, zone, dns.TypeNS)
	if text := ns.failed(); text != "" {
		return "", nil, fmt.Errorf("the name servers of %s can't be found: %s", zone, text)
	}
	for _, host := range hosts(ns.msg.Answer, zone) {
		if len(servers) >= parentServers {
			break
		}
		for _, addr := range a.addressesOf(ctx, host) {
			servers = append(servers, netip.AddrPortFrom(addr, a.ports[query.UDP]))
		}
	}
	if len(servers) == 0 {
		return "", nil, fmt.Errorf("the name servers of %s have no addresses", zone)
	}
	// IPv4 first: most machines have it.
	slices.SortStableFunc(servers, func(a, b netip.AddrPort) int { return a.Addr().BitLen() - b.Addr().BitLen() })
	return zone, servers, nil
}

// addressesOf asks the resolver for the addresses of a host.
func (a *Audit) addressesOf(ctx context.Context, host string) (out []netip.Addr) {
	for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		for _, rr := range a.resolve(ctx, host, qtype).records() {
			out = append(out, addresses([]dns.RR{rr}, rr.Header().Name)...)
		}
	}
	return out[:min(len(out), maxAddresses)]
}

// delegated asks the parent zone's servers for the domain's delegation.
func (a *Audit) delegated(ctx context.Context, domain string) *delegation {
	zone := a.parentOf(ctx, domain)
	if zone.err != nil {
		return &delegation{err: zone.err}
	}
	d := &delegation{parent: zone.name}
	for i, addr := range zone.servers {
		if i >= parentServers {
			break
		}
		e := endpoint{query.UDP, addr, ""}
		r, err := a.client.ask(ctx, e, question(domain, dns.TypeNS, false))
		if err == nil {
			err = d.read(domain, r)
		} else {
			err = fmt.Errorf("the server %s of %s %w", addr.Addr(), zone.name, err)
		}
		if d.err = err; err == nil {
			ds, err := a.client.ask(ctx, e, question(domain, dns.TypeDS, false))
			d.ds = answer{ds, err}
			return d
		}
		if errors.Is(err, errUndelegated) {
			return d
		}
	}
	return d
}

// errUndelegated is what the parent's servers say for sure.
var errUndelegated = errors.New("not delegated")

// read reads the parent's answer: a referral (RFC 1034 §4.3.2), or the records
// themselves when a server has both zones.
func (d *delegation) read(domain string, r *dns.Msg) error {
	d.names = hosts(slices.Concat(r.Answer, r.Ns), domain)
	switch {
	case r.Rcode == dns.RcodeNameError:
		return fmt.Errorf("%w: %s has no such domain", errUndelegated, d.parent)
	case r.Rcode != dns.RcodeSuccess:
		return fmt.Errorf("the servers of %s answer %s", d.parent, rcode(r))
	case len(d.names) == 0:
		return fmt.Errorf("%w: it is a part of the zone %s, without name servers of its own", errUndelegated, d.parent)
	}
	d.names = d.names[:min(len(d.names), maxServers)]
	d.glue = map[string][]netip.Addr{}
	for _, name := range d.names {
		if addrs := addresses(r.Extra, name); len(addrs) > 0 {
			d.glue[name] = addrs
		}
	}
	return nil
}
