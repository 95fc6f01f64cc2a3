package resolver

import "domainpark/query"

// maxTargets is how many records of a set are looked at for names whose
// addresses go into the additional section. More would not fit into an answer
// over UDP anyway.
const maxTargets = 64

// leastRecord is how long the record of an address is at least: with an owner
// of one byte, the root.
const leastRecord = 1 + fixedBytes + 4

// optional begins what may be left out without TC (RFC 2181 §9), behind all the
// rest, and tells whether there is room for any of it: for a client that may be
// somebody else there is less.
func (a *zoneAnswer) optional() bool {
	a.w.full = false
	a.w.end = a.w.start + a.spare
	return len(a.w.dst)+leastRecord <= a.w.end
}

// addresses adds the addresses of the names that the records of s point to, in
// their order, as far as there is room: nobody misses them.
func (a *zoneAnswer) addresses(s *zoneSet) {
	if target(s.rrtype, s.first()) == nil || !a.optional() {
		return
	}
	sort := authoritative
	if s.rrtype == typeNS {
		sort = everywhere
	}
	for i, rest := 0, s.data; len(rest) > 0 && i < maxTargets; i++ {
		var data []byte
		data, rest = nextRecord(rest)
		to := target(s.rrtype, data)
		switch {
		case again(s, to, i):
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

	// Of a delegation that is referred to (RFC 9471 §2):
	inDomain // within it
	sibling  // below other delegations by the same zone
	asked    // elsewhere: in our zones' own data, where whoever needs them can ask for them
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
	if sort >= inDomain && (sort == inDomain) != n.under(a.name.from(a.spot.cut)) {
		return
	}
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

// wanted tells whether the host n, which lies at p, is one of sort; inDomain
// has been looked at.
func (a *zoneAnswer) wanted(sort hosts, p *spot, n name) bool {
	switch sort {
	case authoritative:
		return p.cut < 0
	case sibling, asked:
		delegated := p.cut >= 0 || p.apexNode != a.spot.apexNode
		return (delegated && n.under(a.name.from(a.spot.apex))) == (sort == sibling)
	}
	return true
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
	// there: they must be in the message, and those of its siblings should (RFC
	// 9471 §3.1, §3.2), which may need them as well (§2.3).
	a.glue(ns.data, inDomain)
	if a.w.full {
		return
	}
	a.glue(ns.data, sibling)
	if a.optional() {
		a.glue(ns.data, asked)
	}
	a.w.full = false
}

// glue adds addresses of the name servers in the data of a set, ns, that lie
// where sort says, until one does not fit.
func (a *zoneAnswer) glue(ns []byte, sort hosts) {
	for len(ns) > 0 && !a.w.full {
		var data []byte
		data, ns = nextRecord(ns)
		a.host(data, sort)
	}
}
