package resolver

import "domainpark/query"

// maxChain is how many aliases (CNAME and DNAME records) an answer follows: a
// guess, above what anybody needs. Knot DNS follows 5. Whoever asked can go on
// from the last one.
const maxChain = 20

// zoneAnswer is one answer from the operator's zones in the making.
type zoneAnswer struct {
	s      *snapshot
	q      *query.Query // lends its scratch space
	spare  int          // how long the message may get by what may be left out
	w      zoneMessage
	rrtype uint16
	do     bool

	name name // what is looked for: the question's, then what aliases lead to
	spot spot // where it lies
	kind query.Kind

	zone   *signedZone // that of spot, for those who know DNSSEC; nil: it is unsigned, or they do not
	wild   bool        // a wildcard stands for name
	proofs proofs

	steps   int              // how many aliases there are in the answer
	targets [maxChain]uint16 // where in the message the name stands that each leads to
	alias   uint32           // the last DNAME record's node
	tooLong bool
}

// zoneReply is an answer from a zone before it is finished; the zero value:
// there is none.
type zoneReply struct {
	counts
	message []byte // the question and the records, behind what stood in dst
	maxAge  uint32 // as in records
	whole   bool   // everything that must be in the message is
	foreign bool   // nothing in it is our own: a referral
	tooLong bool   // a DNAME record made a name that can't be (RFC 6672 §2.2)
}

// answerFromZone appends the question and the answer to dst, and notes it in
// req. The name that q asks for lies at req.spot.
func (s *snapshot) answerFromZone(dst []byte, q *query.Query, req *request) reply {
	a := zoneAnswer{s: s, q: q, rrtype: q.Type, do: q.DO, name: name{q.Name, q.Labels[:q.Count]}, spot: req.spot}
	a.w.begin(dst, q, req.question)
	a.spare = s.additionalRoom(a.w.end-a.w.start, q, &req.edns)
	a.enter()
	for a.step() && !a.w.full {
	}
	a.writeProofs()
	req.zone = zoneReply{
		message: a.w.dst,
		counts:  a.w.counts,
		maxAge:  a.w.maxAge,
		whole:   !a.w.full,
		foreign: a.kind == query.KindReferral,
		tooLong: a.tooLong,
	}
	return reply{kind: a.kind, ede: noError}
}

// step answers for the name at hand (RFC 1034 §4.3.2). It returns true when
// that was an alias, and the name is another one now.
func (a *zoneAnswer) step() (more bool) {
	if a.rrtype == typeDS && a.spot.apex == 0 && a.fromParent() {
		return false
	}
	p := &a.spot
	switch {
	case p.cut == 0 && a.rrtype == typeDS: // the parent's business (RFC 4035 §3.1.4.1)
		a.records(p.cutNode)
		return false
	case p.cut >= 0:
		a.refer()
		return false
	case p.alias > 0:
		return a.rename()
	case p.closest == 0 && (p.node != 0 || p.reports < 0):
		return a.node(p.node)
	}
	if p.reports > 0 && a.report() {
		return false
	}
	if p.closest == 0 {
		return a.node(0) // it has no records, but names below have
	}
	if n, ok := a.s.wildcard(a.name.from(p.closest)); ok {
		a.wild = true
		return a.node(n)
	}
	if p.reports >= p.closest { // what lies there can't be told from what is parked
		return a.node(0)
	}
	a.negative(query.KindNXDomain)
	return false
}

// fromParent answers for the DS records of an apex from the zone above, if
// there is one (RFC 4035 §3.1.4.1).
func (a *zoneAnswer) fromParent() bool {
	p := a.s.spotOf(a.name, 1)
	if !p.in {
		return false
	}
	node := a.s.zoneData.above(a.spot.apexNode)
	a.spot = p
	a.enter()
	if p.cut >= 0 {
		a.refer()
	} else {
		a.records(node)
	}
	return true
}

// node answers for a name that has the records at n.
func (a *zoneAnswer) node(n uint32) (more bool) {
	if a.rrtype != typeCNAME && !a.besideAlias(n) {
		if s := a.s.zoneData.set(n, typeCNAME); s.data != nil {
			return a.follow(&s)
		}
	}
	a.records(n)
	return false
}

// records answers with the records at n that are asked for.
func (a *zoneAnswer) records(n uint32) {
	var s zoneSet
	switch {
	case a.rrtype == typeANY && n != 0 && a.s.signedAt(a.spot.apexNode) == nil:
		a.any()
		return
	case a.rrtype == typeANY:
		s = a.s.zoneData.smallest(n)
	case a.rrtype == typeRRSIG:
		a.signatures(n)
		return
	default:
		s = a.s.zoneData.set(n, a.rrtype)
	}
	if s.data == nil {
		a.negative(query.KindNoData)
		return
	}
	a.kind = query.KindAnswer
	a.proveExpansion()
	if a.put(&a.w.answer, a.name.wire, &s, s.ttl) && a.writeProofs() {
		a.addresses(&s)
	}
}

// hinfo is the record that RFC 8482 §4.2 suggests.
var hinfo = []byte("\x07RFC8482\x00")

// any answers with one record that stands for all (RFC 8482 §4.2). In a signed
// zone it would be bogus: one of the sets is the answer there (§4.1).
func (a *zoneAnswer) any() {
	a.single(typeHINFO, a.s.zoneData.set(a.spot.apexNode, typeSOA).ttl, hinfo)
}

// single answers with a record that is in no zone.
func (a *zoneAnswer) single(rrtype uint16, ttl uint32, data []byte) {
	a.kind = query.KindAnswer
	a.w.record(a.name.wire, rrtype, ttl, data)
	a.w.counted(&a.w.answer, 1, ttl)
}

// negative puts the zone's SOA record into the authority section (RFC 2308
// §2). The response code is that of the last name of a chain (RFC 6604 §3).
func (a *zoneAnswer) negative(kind query.Kind) {
	a.kind = kind
	if a.steps > 0 && kind == query.KindNoData {
		a.kind = query.KindAnswer
	}
	soa := a.s.zoneData.set(a.spot.apexNode, typeSOA)
	a.put(&a.w.ns, a.name.from(a.spot.apex), &soa, soa.negativeTTL())
	a.deny(kind)
}

// follow adds a CNAME record and goes on with the name it leads to.
func (a *zoneAnswer) follow(cname *zoneSet) (more bool) {
	a.kind = query.KindAnswer
	a.proveExpansion()
	if !a.put(&a.w.answer, a.name.wire, cname, cname.ttl) || a.rrtype == typeANY {
		return false // a CNAME is all that a name can have (RFC 1034 §3.6.2)
	}
	return a.goOn(cname.first())
}

// rename adds a DNAME record with the CNAME record that follows from it (RFC
// 6672 §3.1), and goes on with the name that comes out.
func (a *zoneAnswer) rename() (more bool) {
	a.kind = query.KindAnswer
	dname := a.s.zoneData.set(a.spot.aliasNode, typeDNAME)
	if a.alias != a.spot.aliasNode {
		a.alias = a.spot.aliasNode
		if !a.put(&a.w.answer, a.name.from(a.spot.alias), &dname, dname.ttl) {
			return false
		}
	}
	prefix := a.name.wire[:a.name.at[a.spot.alias]]
	to := dname.first()
	if len(prefix)+len(to) > query.MaxNameBytes {
		a.tooLong = true
		return false
	}
	target := append(append(a.q.Alias[a.steps%2][:0], prefix...), to...)
	a.w.record(a.name.wire, typeCNAME, dname.ttl, target)
	a.w.counted(&a.w.answer, 1, dname.ttl)
	if a.rrtype == typeCNAME {
		return false // here it is, as NSD and Knot DNS see it
	}
	return a.goOn(target)
}

// goOn makes target, the data of the last record, the name that is looked for.
// There is nothing more to do when it was looked for before, when it lies in
// no zone of ours, or after too many of them.
func (a *zoneAnswer) goOn(target []byte) (more bool) {
	next := a.q.Alias[a.steps%2][:len(target)]
	for i, c := range target {
		next[i] = lower(c)
	}
	if a.w.full || a.steps == maxChain || a.seen(next) {
		return false
	}
	a.targets[a.steps] = uint16(a.w.data)
	a.steps++
	a.name = labelled(next, &a.q.AliasLabels)
	a.spot = a.s.spotOf(a.name, 0)
	a.enter()
	return a.spot.in
}

// seen tells whether name was looked for before.
func (a *zoneAnswer) seen(name []byte) bool {
	if a.w.equal(headerBytes, name) {
		return true
	}
	for _, offset := range a.targets[:a.steps] {
		if a.w.equal(int(offset), name) {
			return true
		}
	}
	return false
}
