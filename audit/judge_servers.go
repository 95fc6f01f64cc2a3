package audit

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"domainpark/query"

	"github.com/miekg/dns"
)

// parentSide judges what the parent zone says.
func parentSide(e *evidence) (Verdict, string) {
	d := e.delegation
	switch {
	case d.err != nil:
		return Fail, d.err.Error()
	case len(d.names) == 1:
		return Warn, "one name server: " + d.names[0]
	}
	networks := map[netip.Addr]bool{}
	for _, s := range e.servers {
		networks[s.Addr.Addr()] = true
	}
	text := fmt.Sprintf("%s names %s", zoneName(d.parent), several(d.names))
	if len(networks) == 1 {
		return Warn, text + ", all at one address"
	}
	return Pass, text
}

func zoneName(name string) string {
	if name == "." {
		return "the root"
	}
	return name
}

// nameServers judges whether parent and child agree (RFC 1034 §4.2.2).
func nameServers(e *evidence) (Verdict, string) {
	if len(e.living()) == 0 {
		return Info, "" // the rows of the transports tell
	}
	said := map[string][]string{}
	var lists []string
	note := func(who string, names []string) {
		list := strings.Join(names, ", ")
		if said[list] == nil {
			lists = append(lists, list)
		}
		said[list] = append(said[list], who)
	}
	if e.delegation != nil {
		note(zoneName(e.delegation.parent), e.delegation.names)
	}
	for _, s := range e.living() {
		if text := s.ns.failed(); text != "" {
			return Fail, s.String() + " " + text
		}
		note(s.String(), hosts(s.ns.records(), e.domain))
	}
	if len(lists) == 1 {
		if lists[0] == "" {
			return Fail, "no NS record"
		}
		return Pass, excerpt(lists[0])
	}
	var parts []string
	for _, list := range lists {
		if list == "" {
			parts = append(parts, several(said[list])+" no name server")
			continue
		}
		parts = append(parts, several(said[list])+": "+excerpt(list))
	}
	return Fail, "they differ: " + strings.Join(parts, "; ")
}

// glue judges the addresses of name servers in the domain: without those in
// the parent zone nobody finds the way.
func glue(e *evidence) (Verdict, string) {
	if e.delegation.err != nil {
		return Info, ""
	}
	var wrong, right, unsure []string
	for _, name := range e.delegation.names {
		if !within(name, e.domain) {
			continue
		}
		there := e.delegation.glue[name]
		if len(there) == 0 {
			wrong = append(wrong, name+" has none")
			continue
		}
		own, known := e.ownAddresses(name)
		switch {
		case !known:
			unsure = append(unsure, name)
		case len(own) == 0:
			wrong = append(wrong, name+" has "+several(texts(there))+" in "+zoneName(e.delegation.parent)+", and no address in the domain itself")
		case !slices.Equal(own, there):
			wrong = append(wrong, fmt.Sprintf("%s has %s in %s, and %s in the domain itself", name, several(texts(there)), zoneName(e.delegation.parent), several(texts(own))))
		default:
			right = append(right, name+" "+several(texts(there)))
		}
	}
	switch {
	case len(wrong) > 0:
		return Fail, several(wrong)
	case len(unsure) > 0:
		return Warn, "the servers do not tell the addresses of " + several(unsure)
	case len(right) == 0:
		return Pass, "none needed: the name servers lie in other domains"
	}
	return Pass, several(right)
}

// ownAddresses are the addresses that the domain's servers tell of a host.
func (e *evidence) ownAddresses(name string) (addrs []netip.Addr, known bool) {
	for _, s := range e.living() {
		for _, a := range s.own[name] {
			if a.failed() != "" {
				continue
			}
			known = true
			for _, addr := range addresses(a.records(), name) {
				if !slices.Contains(addrs, addr) {
					addrs = append(addrs, addr)
				}
			}
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return addrs, known
}

func texts(addrs []netip.Addr) (out []string) {
	for _, addr := range addrs {
		out = append(out, addr.String())
	}
	return out
}

func overUDP(e *evidence) (Verdict, string) {
	return e.overTransport(query.UDP, func(s *server) answer { return s.udp })
}

func overTCP(e *evidence) (Verdict, string) {
	return e.overTransport(query.TCP, func(s *server) answer { return s.tcp })
}

// overTransport judges whether every server answers with authority.
func (e *evidence) overTransport(t query.Transport, of func(*server) answer) (Verdict, string) {
	if e.delegation == nil && e.transport.Encrypted() {
		if t == query.TCP {
			return Info, ""
		}
		of = func(s *server) answer { return s.main } // one row for the transport that was chosen
	}
	if e.delegation != nil && e.delegation.err != nil {
		return Info, ""
	}
	if len(e.servers) == 0 {
		if t == query.TCP {
			return Info, ""
		}
		return Fail, "no address of a name server is known"
	}
	var wrong, unreachable []string
	for _, s := range e.servers {
		a := of(s)
		if errors.Is(a.err, errNoRoute) {
			unreachable = append(unreachable, s.String())
		} else if text := notAuthoritative(e.domain, a); text != "" {
			wrong = append(wrong, s.String()+" "+text)
		}
	}
	switch answered := len(e.servers) - len(unreachable); {
	case len(wrong) > 0:
		return Fail, several(wrong)
	case answered == 0:
		return Fail, errNoRoute.Error() + " of any server"
	case len(unreachable) > 0:
		return Pass, fmt.Sprintf("%d of %d; not tried, for want of a way there: %s", answered, len(e.servers), several(unreachable))
	case e.delegation == nil:
		return Pass, "answers over " + e.transportOf(t).String()
	default:
		return Pass, fmt.Sprintf("all %d addresses answer", answered)
	}
}

func (e *evidence) transportOf(t query.Transport) query.Transport {
	if e.transport.Encrypted() {
		return e.transport
	}
	return t
}

// notAuthoritative says why an answer is none of the domain's server; empty
// when it is.
func notAuthoritative(domain string, a answer) string {
	switch {
	case a.failed() != "":
		return a.failed()
	case !a.msg.Authoritative:
		return "answers without authority (AA=0): it does not serve the domain"
	case soa(a) == nil:
		return "answers without a SOA record: the domain is no zone of its own there"
	}
	return ""
}

// soa is the SOA record that was asked for, or nil.
func soa(a answer) *dns.SOA {
	for _, rr := range a.records() {
		if rr, ok := rr.(*dns.SOA); ok {
			return rr
		}
	}
	return nil
}

// serial judges whether all servers have the same version of the zone.
func serial(e *evidence) (Verdict, string) {
	serials := map[uint32][]string{}
	var order []uint32
	for _, s := range e.living() {
		if rr := soa(s.main); rr != nil {
			if serials[rr.Serial] == nil {
				order = append(order, rr.Serial)
			}
			serials[rr.Serial] = append(serials[rr.Serial], s.String())
		}
	}
	switch len(order) {
	case 0:
		return Info, ""
	case 1:
		return Pass, fmt.Sprint(order[0])
	}
	var parts []string
	for _, n := range order {
		parts = append(parts, fmt.Sprintf("%d at %s", n, several(serials[n])))
	}
	return Warn, "they differ: " + strings.Join(parts, "; ")
}

// recursion judges what a server makes of a question that is none of its
// business.
func recursion(e *evidence) (Verdict, string) {
	var open, offering []string
	for _, s := range e.living() {
		m := s.foreign.msg
		switch {
		case m == nil:
		case m.Rcode == dns.RcodeSuccess && !m.Authoritative && len(m.Answer) > 0:
			open = append(open, s.String()+" resolves "+foreignName)
		case m.RecursionAvailable:
			offering = append(offering, s.String()+" says that it resolves (RA=1)")
		}
	}
	switch {
	case len(open) > 0:
		return Fail, several(open)
	case len(offering) > 0:
		return Warn, several(offering)
	case len(e.living()) == 0:
		return Info, ""
	}
	return Pass, "not offered"
}

// nameExistence judges whether a server denies names that it has records for.
func nameExistence(e *evidence) (Verdict, string) {
	for _, s := range e.living() {
		has, denied := "", ""
		for i, a := range s.records {
			c := &recordChecks[i]
			if c.name != "*" || a.failed() != "" {
				continue
			}
			if len(a.records()) > 0 {
				has = dns.Type(c.qtype).String()
			} else if !a.exists() {
				denied = dns.Type(c.qtype).String()
			}
		}
		if has != "" && denied != "" {
			return Fail, fmt.Sprintf("%s has a record of type %s at a name for which it says NXDOMAIN when asked for %s", s, has, denied)
		}
	}
	if len(e.living()) == 0 {
		return Info, ""
	}
	return Pass, "none with records is denied"
}
