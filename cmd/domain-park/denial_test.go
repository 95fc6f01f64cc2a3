package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// denial reads the NSEC and NSEC3 records of an answer as a resolver that
// validates does: a second reading of RFC 4035 §5.4 and RFC 5155 §8, with
// miekg/dns's own hashing and matching. Signatures are Unbound's to verify.
type denial struct {
	nsec  []*dns.NSEC
	nsec3 []*dns.NSEC3
}

// unproven is what an answer to a query with DO does not prove and has to, in a
// zone that is signed; empty: nothing.
func unproven(q, m *dns.Msg) string {
	var d denial
	for _, rr := range m.Ns {
		switch rr := rr.(type) {
		case *dns.NSEC:
			d.nsec = append(d.nsec, rr)
		case *dns.NSEC3:
			d.nsec3 = append(d.nsec3, rr)
		}
	}
	last, answered := q.Question[0].Name, false
	for _, rr := range m.Answer {
		switch rr := rr.(type) {
		case *dns.CNAME:
			last = rr.Target
		case *dns.RRSIG:
			if labels := dns.CountLabel(rr.Hdr.Name); int(rr.Labels) < labels && rr.TypeCovered != dns.TypeDNAME && !strings.HasPrefix(rr.Hdr.Name, "*.") && !d.noCloser(rr.Hdr.Name, int(rr.Labels)) {
				return fmt.Sprintf("that nothing is closer to %s than the wildcard of %d labels", rr.Hdr.Name, rr.Labels)
			}
		}
		answered = answered || rr.Header().Rrtype == q.Question[0].Qtype
	}
	cut, soa := "", ""
	for _, rr := range m.Ns {
		switch rr.(type) {
		case *dns.NS:
			cut = rr.Header().Name
		case *dns.DS:
			return ""
		case *dns.SOA:
			soa = rr.Header().Name
		}
	}
	switch {
	case m.Truncated || answered && soa == "":
		return ""
	case cut != "" && !d.noData(cut, dns.TypeDS):
		return "that " + cut + " has no DS"
	case soa != "" && m.Rcode == dns.RcodeNameError && !d.noName(last):
		return "that " + last + " does not exist"
	case soa != "" && m.Rcode == dns.RcodeSuccess && !d.noData(last, q.Question[0].Qtype):
		return "that " + last + " has no such records"
	}
	return ""
}

// ancestors are name and its parents.
func ancestors(name string) (list []string) {
	for _, i := range dns.Split(name) {
		list = append(list, name[i:])
	}
	return append(list, ".")
}

func (d *denial) noCloser(name string, labels int) bool {
	all := ancestors(name)
	next := all[len(all)-2-labels]
	return d.covered(name) || d.covers3(next) != nil
}

// covered: an NSEC record shows that name does not exist, or is empty.
func (d *denial) covered(name string) bool { return d.covering(name) != nil }

func (d *denial) covering(name string) *dns.NSEC {
	for _, n := range d.nsec {
		before := canonicalLess(n.Hdr.Name, name)
		if before && (canonicalLess(name, n.NextDomain) || !canonicalLess(n.Hdr.Name, n.NextDomain)) {
			return n
		}
	}
	return nil
}

func (d *denial) matching(name string) *dns.NSEC {
	for _, n := range d.nsec {
		if strings.EqualFold(n.Hdr.Name, name) {
			return n
		}
	}
	return nil
}

func (d *denial) match3(name string) *dns.NSEC3 {
	for _, n := range d.nsec3 {
		if n.Match(name) {
			return n
		}
	}
	return nil
}

func (d *denial) covers3(name string) *dns.NSEC3 {
	for _, n := range d.nsec3 {
		if n.Cover(name) && !n.Match(name) {
			return n
		}
	}
	return nil
}

// encloser is the closest encloser that is proven, and whether Opt-Out covers
// the name below it.
func (d *denial) encloser(name string) (encloser string, optOut, proven bool) {
	if n := d.covering(name); n != nil {
		for _, a := range ancestors(name)[1:] {
			if dns.IsSubDomain(strings.ToLower(a), strings.ToLower(n.Hdr.Name)) || dns.IsSubDomain(strings.ToLower(a), strings.ToLower(n.NextDomain)) {
				return a, false, true
			}
		}
	}
	all := ancestors(name)
	for i, a := range all[1:] {
		if d.match3(a) == nil {
			continue
		}
		n := d.covers3(all[i])
		return a, n != nil && n.Flags&1 == 1, n != nil
	}
	return "", false, false
}

func (d *denial) noName(name string) bool {
	encloser, optOut, proven := d.encloser(name)
	return proven && (optOut || d.covered("*."+encloser) || d.covers3("*."+encloser) != nil)
}

func (d *denial) noData(name string, qtype uint16) bool {
	lacks := func(types []uint16) bool {
		return !slices.Contains(types, qtype) && (qtype == dns.TypeCNAME || !slices.Contains(types, dns.TypeCNAME))
	}
	below := func(n *dns.NSEC, name string) bool {
		return n != nil && dns.IsSubDomain(strings.ToLower(name), strings.ToLower(n.NextDomain))
	}
	if n := d.matching(name); n != nil {
		return lacks(n.TypeBitMap)
	}
	if n := d.match3(name); n != nil {
		return lacks(n.TypeBitMap)
	}
	if below(d.covering(name), name) {
		return true
	}
	encloser, optOut, proven := d.encloser(name)
	wildcard := "*." + encloser
	switch {
	case !proven:
		return false
	case optOut:
		return true // there may be anything that is not signed
	case d.matching(wildcard) != nil:
		return lacks(d.matching(wildcard).TypeBitMap)
	case d.match3(wildcard) != nil:
		return lacks(d.match3(wildcard).TypeBitMap)
	}
	return below(d.covering(wildcard), wildcard)
}

// canonicalLess is the order of RFC 4034 §6.1, from the labels' bytes.
func canonicalLess(a, b string) bool {
	x, y := canonicalLabels(a), canonicalLabels(b)
	for i := 0; i < len(x) && i < len(y); i++ {
		if c := strings.Compare(x[i], y[i]); c != 0 {
			return c < 0
		}
	}
	return len(x) < len(y)
}

func canonicalLabels(name string) (labels []string) {
	var buf [256]byte
	if _, err := dns.PackDomainName(strings.ToLower(name), buf[:], 0, nil, false); err != nil {
		return nil
	}
	for at := 0; buf[at] != 0; at += 1 + int(buf[at]) {
		labels = append(labels, string(buf[at+1:][:buf[at]]))
	}
	slices.Reverse(labels)
	return labels
}
