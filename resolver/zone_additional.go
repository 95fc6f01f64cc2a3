package resolver

import (
	"bytes"

	"domainpark/query"
)

// maxTargets is how many records of a set are looked at for names whose
// addresses go into the additional section. More would not fit into an answer
// over UDP anyway.
const maxTargets = 64

// addresses adds the addresses of the names that the records of s point to, as
// far as there is room: nobody misses them (RFC 2181 §9).
func (a *zoneAnswer) addresses(s *zoneSet) {
	sort := authoritative
	if s.rrtype == typeNS {
		sort = everywhere
	}
	for i, rest := 0, s.data; len(rest) > 0 && i < maxTargets; i++ {
		var data []byte
		data, rest = nextRecord(rest)
		to := target(s.rrtype, data)
		switch {
		case to == nil || again(s, to, i):
			continue
		case to[0] == 0 && (s.rrtype == typeSVCB || s.rrtype == typeHTTPS) && data[0]|data[1] != 0:
			to = a.name.wire // of a ServiceMode record, "." is the owner (RFC 9460 §2.5.2)
		}
		a.host(to, sort)
		a.w.full = false
	}
}

// again tells whether one of the first n records of s points to the same name.
func again(s *zoneSet, to []byte, n int) bool {
	rest := s.data
	for range n {
		var data []byte
		data, rest = nextRecord(rest)
		if equalFold(target(s.rrtype, data), to) {
			return true
		}
	}
	return false
}

// hosts says where the hosts lie whose addresses are added.
type hosts uint8

const (
	authoritative hosts = iota // in no delegation
	everywhere
	inside  // within the delegation that is referred to
	outside // everywhere but there
)

// host adds the addresses that our zones have for the name to, if it lies
// where sort says.
func (a *zoneAnswer) host(to []byte, sort hosts) {
	var fold [query.MaxNameBytes + 1]byte
	var at [query.MaxLabels + 1]uint8
	for i, c := range to {
		fold[i] = lower(c)
	}
	n := labelled(fold[:len(to)], &at)
	p := a.s.spotOf(n, 0)
	if !p.in || !a.wanted(sort, &p, n) {
		return
	}
	node := p.node
	if p.closest > 0 {
		if p.cut >= 0 || p.alias > 0 {
			return
		}
		node, _ = a.s.wildcard(n.from(p.closest))
	}
	for _, rrtype := range [...]uint16{typeA, typeAAAA} {
		if s := a.s.zoneData.set(node, rrtype); s.data != nil {
			a.put(&a.w.ar, to, &s, s.ttl)
		}
	}
}

// wanted tells whether the host n, which lies at p, is one of sort.
func (a *zoneAnswer) wanted(sort hosts, p *spot, n name) bool {
	switch sort {
	case authoritative:
		return p.cut < 0
	case everywhere:
		return true
	}
	within := p.cut >= 0 && bytes.Equal(n.from(p.cut), a.name.from(a.spot.cut))
	return within == (sort == inside)
}

// refer answers with a delegation (RFC 1034 §4.3.2): its name servers and, for
// those who know DNSSEC, its DS records (RFC 4035 §3.1.4).
func (a *zoneAnswer) refer() {
	a.kind = query.KindReferral
	if a.steps > 0 {
		a.kind = query.KindAnswer // that of the aliases
	}
	cut := a.name.from(a.spot.cut)
	ns := a.s.zoneData.set(a.spot.cutNode, typeNS)
	if !a.w.set(&a.w.ns, cut, &ns, ns.ttl) {
		return
	}
	switch ds := a.s.zoneData.set(a.spot.cutNode, typeDS); {
	case a.do && ds.data != nil:
		a.put(&a.w.ns, cut, &ds, ds.ttl)
	case a.zone != nil:
		a.denyDS(a.spot.cut)
	}
	if !a.writeProofs() {
		return
	}
	// Without the addresses of name servers within the delegation nobody gets
	// there: they must be in the message (RFC 9471 §2.1).
	a.glue(ns.data, inside)
	if a.w.full {
		return
	}
	a.glue(ns.data, outside)
	a.w.full = false
}

// glue adds addresses of the name servers in the data of a set, ns, that lie
// where sort says.
func (a *zoneAnswer) glue(ns []byte, sort hosts) {
	for len(ns) > 0 {
		var data []byte
		data, ns = nextRecord(ns)
		a.host(data, sort)
	}
}
