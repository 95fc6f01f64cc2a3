package main

import (
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// wantedDifferences are the rows of docs/conformance.md about other servers.
// apply makes the two answers equal as far as one explains, and tells whether
// it did anything.
var wantedDifferences = []struct {
	server, reason string
	apply          func(q, own, theirs *dns.Msg) bool
}{
	{"NSD", "the zone's NS in every answer", dropAuthority},
	{"NSD", "ANY", dropANY},
	{"NSD", "DS in referrals", dropDS},
	{"NSD", "addresses from another zone", dropForeign},
	{"NSD", "denials that do not fit", dropLonger},
	{"NSD", "other denials", dropDenials},
	{"Knot DNS", "ANY", dropANY},
	{"Knot DNS", "DS in referrals", dropDS},
	{"Knot DNS", "addresses from another zone", dropForeign},
	{"Knot DNS", "RRSIG and NSEC of an alias", dropSignatures},
	{"Knot DNS", "RRSIG", dropSomeSignatures},
	{"Knot DNS", "denials that do not fit", dropLonger},
	{"Knot DNS", "NXDOMAIN below what Opt-Out leaves out, without anything", dropBare},
	{"Knot DNS", "other denials", dropDenials},
	{"Knot DNS", "SOA that does not fit", dropTruncation},
	{"Knot DNS", "SOA with YXDOMAIN", dropSOA},
	{"Knot DNS", "chains of more than five, or into another zone", dropRest},
}

// dropAuthority takes the zone's NS records out of an answer that has records,
// with the addresses of these name servers, and with what signs all that.
func dropAuthority(_, own, theirs *dns.Msg) bool {
	isNS := func(rr dns.RR) bool { return setType(rr) == dns.TypeNS }
	if len(theirs.Answer) == 0 || slices.ContainsFunc(own.Ns, isNS) || !slices.ContainsFunc(theirs.Ns, isNS) {
		return false
	}
	theirs.Extra = slices.DeleteFunc(theirs.Extra, func(rr dns.RR) bool {
		isServer := slices.ContainsFunc(theirs.Ns, func(o dns.RR) bool {
			ns, ok := o.(*dns.NS)
			return ok && strings.EqualFold(ns.Ns, rr.Header().Name)
		})
		return isServer && !slices.ContainsFunc(own.Extra, func(o dns.RR) bool { return dns.IsDuplicate(o, rr) })
	})
	theirs.Ns = slices.DeleteFunc(theirs.Ns, isNS)
	return true
}

// setType is the type of a record or, of a signature, that of what it signs.
func setType(rr dns.RR) uint16 {
	if s, ok := rr.(*dns.RRSIG); ok {
		return s.TypeCovered
	}
	return rr.Header().Rrtype
}

// dropANY takes the records that ANY was answered with out of both answers.
func dropANY(q, own, theirs *dns.Msg) bool {
	if q.Question[0].Qtype != dns.TypeANY || len(own.Answer) == 0 || len(theirs.Answer) == 0 && !theirs.Truncated {
		return false
	}
	last := own.Answer[len(own.Answer)-1]
	if setType(last) == dns.TypeCNAME && len(theirs.Answer) == len(own.Answer) {
		return false
	}
	isLast := func(rr dns.RR) bool { return strings.EqualFold(rr.Header().Name, last.Header().Name) }
	own.Answer = slices.DeleteFunc(own.Answer, isLast)
	if theirs.Truncated { // all sets together are longer
		theirs.Truncated, theirs.Answer, theirs.Ns = false, own.Answer, own.Ns
	}
	theirs.Answer = slices.DeleteFunc(theirs.Answer, isLast)
	isData := func(rr dns.RR) bool { return rr.Header().Rrtype != dns.TypeOPT }
	own.Extra, theirs.Extra = slices.DeleteFunc(own.Extra, isData), slices.DeleteFunc(theirs.Extra, isData)
	return true
}

// dropDS takes DS records out of a referral. The others have them for signed
// zones alone.
func dropDS(_, own, theirs *dns.Msg) bool {
	isDS := func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeDS }
	if slices.ContainsFunc(theirs.Ns, isDS) {
		return false
	}
	n := len(own.Ns)
	own.Ns = slices.DeleteFunc(own.Ns, isDS)
	return len(own.Ns) < n
}

// dropDenials takes out of both answers the NSEC and NSEC3 records that are in one
// alone. compare has made sure that ours prove what they have to.
func dropDenials(_, own, theirs *dns.Msg) bool {
	n := len(own.Ns) + len(theirs.Ns)
	alone := func(of, other []dns.RR) []dns.RR {
		return slices.DeleteFunc(slices.Clone(of), func(rr dns.RR) bool {
			t := setType(rr)
			return (t == dns.TypeNSEC || t == dns.TypeNSEC3) && !slices.ContainsFunc(other, func(o dns.RR) bool {
				return strings.EqualFold(o.Header().Name, rr.Header().Name) && setType(o) == t
			})
		})
	}
	own.Ns, theirs.Ns = alone(own.Ns, theirs.Ns), alone(theirs.Ns, own.Ns)
	return len(own.Ns)+len(theirs.Ns) < n
}

// dropLonger is for an answer that is truncated here because it has more denials.
func dropLonger(_, own, theirs *dns.Msg) bool {
	if !own.Truncated || theirs.Truncated || !slices.ContainsFunc(theirs.Ns, func(rr dns.RR) bool { return setType(rr) == dns.TypeNSEC3 }) {
		return false
	}
	theirs.Truncated, theirs.Rcode = true, own.Rcode
	return true
}

// dropBare is for a name below one without records that Opt-Out leaves out, and
// above that a wildcard: no NXDOMAIN can be proven, and Knot DNS gives one with
// no records at all.
func dropBare(_, own, theirs *dns.Msg) bool {
	if own.Rcode != dns.RcodeNameError || theirs.Rcode != own.Rcode || theirs.Authoritative || len(theirs.Answer)+len(theirs.Ns) > 0 {
		return false
	}
	theirs.Authoritative, theirs.Answer, theirs.Ns = true, own.Answer, own.Ns
	return true
}

// dropForeign takes addresses out of our additional section that come from
// another zone than the records that point to them.
func dropForeign(_, own, theirs *dns.Msg) bool {
	pointing := append(slices.Clone(own.Answer), own.Ns...)
	if len(pointing) == 0 {
		return false
	}
	zone := zoneOf(pointing[len(pointing)-1].Header().Name)
	n := len(own.Extra)
	own.Extra = slices.DeleteFunc(own.Extra, func(rr dns.RR) bool {
		return rr.Header().Rrtype != dns.TypeOPT && zoneOf(rr.Header().Name) != zone &&
			!slices.ContainsFunc(theirs.Extra, func(o dns.RR) bool { return dns.IsDuplicate(o, rr) })
	})
	return len(own.Extra) < n
}

// dropSignatures takes out aliases that were followed for a type that a signed
// zone can have beside a CNAME, where this one has none.
func dropSignatures(q, own, theirs *dns.Msg) bool {
	if t := q.Question[0].Qtype; t != dns.TypeRRSIG && t != dns.TypeNSEC {
		return false
	}
	last := func(m *dns.Msg) int {
		return len(slices.DeleteFunc(slices.Clone(m.Answer), func(rr dns.RR) bool { return rr.Header().Rrtype != dns.TypeCNAME }))
	}
	if last(theirs) >= last(own) && (!own.Truncated || theirs.Truncated) || len(theirs.Ns) == 0 {
		return false
	}
	own.Rcode, own.Truncated, own.Answer, own.Ns, own.Extra = theirs.Rcode, theirs.Truncated, theirs.Answer, theirs.Ns, theirs.Extra
	return true
}

// dropSomeSignatures takes out the RRSIG records that were asked for: Knot DNS
// gives those of one set.
func dropSomeSignatures(q, own, theirs *dns.Msg) bool {
	isSignature := func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeRRSIG }
	if q.Question[0].Qtype != dns.TypeRRSIG || !slices.ContainsFunc(theirs.Answer, isSignature) {
		return false
	}
	if own.Truncated && !theirs.Truncated { // all of them are longer
		own.Truncated, own.Answer, own.Ns, own.Extra = false, slices.Clone(theirs.Answer), theirs.Ns, theirs.Extra
	}
	own.Answer, theirs.Answer = slices.DeleteFunc(own.Answer, isSignature), slices.DeleteFunc(theirs.Answer, isSignature)
	return true
}

// dropTruncation is for an SOA record behind aliases that does not fit: Knot
// DNS leaves it out, here the answer is truncated.
func dropTruncation(_, own, theirs *dns.Msg) bool {
	if !own.Truncated || theirs.Truncated || len(theirs.Answer) == 0 || len(theirs.Ns) > 0 {
		return false
	}
	theirs.Truncated = true
	return true
}

// dropSOA takes the SOA record out of their YXDOMAIN: nothing negative is there
// to keep (RFC 6672 §2.2).
func dropSOA(_, own, theirs *dns.Msg) bool {
	if own.Rcode != dns.RcodeYXDomain || theirs.Rcode != own.Rcode || len(own.Ns) > 0 {
		return false
	}
	theirs.Ns = nil
	return true
}

// dropRest takes out of both answers what follows an alias that leads to
// another zone, or the fifth: Knot DNS looks for its target in the same zone
// alone, and follows no more.
func dropRest(q, own, theirs *dns.Msg) bool {
	ds := q.Question[0].Qtype == dns.TypeDS // which an apex has in the zone above
	aliases := 0
	kept := map[string]bool{}
	for _, rr := range theirs.Answer {
		if rr.Header().Rrtype == dns.TypeRRSIG {
			continue // they stand behind all the others
		}
		if !own.Truncated && !slices.ContainsFunc(own.Answer, func(o dns.RR) bool { return dns.IsDuplicate(rr, o) }) {
			return false
		}
		kept[strings.ToLower(rr.Header().Name)] = true
		cname, ok := rr.(*dns.CNAME)
		if !ok {
			continue
		}
		if aliases++; aliases == 5 || zoneOf(cname.Hdr.Name) != zoneOf(cname.Target) || ds && strings.EqualFold(zoneOf(cname.Target)+".", cname.Target) {
			if own.Truncated && !theirs.Truncated { // the rest makes it longer
				own.Truncated, own.Answer = false, slices.Clone(theirs.Answer)
			}
			for _, m := range []*dns.Msg{own, theirs} {
				m.Rcode, m.Ns = dns.RcodeSuccess, nil
				m.Answer = slices.DeleteFunc(m.Answer, func(rr dns.RR) bool { return !kept[strings.ToLower(rr.Header().Name)] })
				m.Extra = slices.DeleteFunc(m.Extra, func(rr dns.RR) bool { return rr.Header().Rrtype != dns.TypeOPT })
			}
			return true
		}
	}
	return false
}

// zoneOf is the generated zone that a name lies in.
func zoneOf(name string) (zone string) {
	for _, z := range generatedZones {
		if dns.IsSubDomain(z+".", strings.ToLower(name)) && len(z) > len(zone) {
			zone = z
		}
	}
	return zone
}
