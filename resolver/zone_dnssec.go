package resolver

import (
	"encoding/binary"

	"domainpark/query"
)

// signedZone is what an operator's zone that came signed has besides its
// records: the chain of NSEC (RFC 4034 §4) or NSEC3 records (RFC 5155 §3), by
// which a resolver that validates believes what does not exist.
type signedZone struct {
	apex       []byte   // wire format, lower case
	links      []uint32 // where in zoneData each link of the chain is, in its order
	hashed     bool     // the chain is of NSEC3 records
	salt       []byte
	iterations uint16
}

// signedAt is the signed zone with its apex at node; nil: that zone is unsigned.
func (s *snapshot) signedAt(apexNode uint32) *signedZone {
	if n := s.zoneData.signing(apexNode); n > 0 {
		return &s.signed[n-1]
	}
	return nil
}

// enter notes what is known about the zone of a spot that is new.
func (a *zoneAnswer) enter() {
	a.zone, a.wild = nil, false
	if a.do && a.spot.in {
		a.zone = a.s.signedAt(a.spot.apexNode)
	}
}

// put writes a set and, for those who know DNSSEC, what signs it (RFC 4035
// §3.1.1): both or neither. That MAY be otherwise in the additional section,
// where unsigned addresses are of no use to who validates.
func (a *zoneAnswer) put(count *uint16, owner []byte, s *zoneSet, ttl uint32) bool {
	size, names := len(a.w.dst), a.w.names
	if !a.w.set(count, owner, s, ttl) {
		return false
	}
	if !a.do || s.signed == 0 {
		return true
	}
	data := a.w.data // goOn looks for it
	signatures := a.s.zoneData.setAt(int(s.signed))
	if !a.w.set(count, owner, &signatures, ttl) {
		a.w.dst = a.w.dst[:size]
		a.w.forget(names)
		*count -= s.count
		return false
	}
	a.w.data = data
	return true
}

// besideAlias tells whether what is asked for stands beside the CNAME record at
// node: only in a signed zone something can (RFC 4035 §2.5).
func (a *zoneAnswer) besideAlias(node uint32) bool {
	return (a.rrtype == typeRRSIG || a.rrtype == typeNSEC) && a.s.zoneData.set(node, a.rrtype).data != nil
}

// signatures answers with all RRSIG records at node, which are several sets.
func (a *zoneAnswer) signatures(node uint32) {
	z := a.s.zoneData
	if z.set(node, typeRRSIG).data == nil {
		a.negative(query.KindNoData)
		return
	}
	a.kind = query.KindAnswer
	a.proveExpansion()
	for at, left := z.sets(node); left > 0; left-- {
		s := z.setAt(at)
		if s.rrtype == typeRRSIG && !a.w.set(&a.w.answer, a.name.wire, &s, s.ttl) {
			return
		}
		at += setHeadBytes + len(s.data)
	}
}

// sets is where the first set at node begins, and how many there are.
func (z zoneData) sets(node uint32) (at int, count uint16) {
	return int(node) + nodeHeadBytes, binary.BigEndian.Uint16(z[node:])
}

// smallest is the set at node that takes the fewest bytes, of those that are
// not there for DNSSEC alone.
func (z zoneData) smallest(node uint32) (least zoneSet) {
	if node == 0 {
		return zoneSet{}
	}
	for at, left := z.sets(node); left > 0; left-- {
		s := z.setAt(at)
		if s.rrtype != typeRRSIG && s.rrtype != typeNSEC && s.rrtype != typeNSEC3PARAM && (least.data == nil || len(s.data) < len(least.data)) {
			least = z.set(node, s.rrtype)
		}
		at += setHeadBytes + len(s.data)
	}
	return least
}

// maxProofs is how many denials an answer has at most: one for each alias that
// came from a wildcard, and three for the end of the chain.
const maxProofs = maxChain + 4

// proofs are the denials that an answer needs: links of chains. They are written
// when the answer section is complete.
type proofs struct {
	links   [maxProofs]uint32 // where in zoneData
	count   int
	written int
}

// add notes a link, once.
func (p *proofs) add(link uint32) {
	for _, l := range p.links[:p.count] {
		if l == link {
			return
		}
	}
	if p.count < len(p.links) {
		p.links[p.count] = link
		p.count++
	}
}

// writeProofs puts what was noted into the authority section, and tells whether
// all that was to be written so far is.
func (a *zoneAnswer) writeProofs() bool {
	p := &a.proofs
	for ; p.written < p.count && !a.w.full; p.written++ {
		var buf [query.MaxNameBytes + 1]byte
		at := p.links[p.written]
		z := &a.s.signed[binary.BigEndian.Uint32(a.s.zoneData[at:])-1]
		if z.hashed {
			s := a.s.zoneData.set(at+linkHeadBytes+hashBytes, typeNSEC3)
			a.put(&a.w.ns, z.hashOwner(buf[:0], a.s.zoneData.linkHash(at)), &s, s.ttl)
			continue
		}
		node, key := a.s.zoneData.linkKey(at)
		s := a.s.zoneData.set(node, typeNSEC)
		a.put(&a.w.ns, appendFromKey(buf[:0], key, z.apex), &s, s.ttl)
	}
	return !a.w.full
}

// proveExpansion notes, for an answer that a wildcard gave, that there is no
// closer name (RFC 4035 §3.1.3.3, RFC 5155 §7.2.6).
func (a *zoneAnswer) proveExpansion() {
	switch z := a.zone; {
	case z == nil || !a.wild:
	case z.hashed:
		a.proofs.add(a.s.hashLink(z, a.name.from(a.spot.closest-1)))
	default:
		a.proofs.add(a.s.nameLink(z, a.name.wire))
	}
}

// deny notes what proves that a name does not exist, or that it has no records
// of the type asked for.
func (a *zoneAnswer) deny(kind query.Kind) {
	switch z := a.zone; {
	case z == nil:
	case z.hashed && (a.wild || kind == query.KindNXDomain): // RFC 5155 §7.2.2, §7.2.5
		encloser := a.encloser(a.spot.closest)
		a.denyWildcard(encloser)
	case z.hashed: // RFC 5155 §7.2.3, §7.2.4
		a.encloserOrMatch(0)
	default: // RFC 4035 §3.1.3.1, §3.1.3.2, §3.1.3.4
		a.proofs.add(a.s.nameLink(z, a.name.wire))
		if a.wild || kind == query.KindNXDomain {
			a.denyWildcard(a.spot.closest)
		}
	}
}

// denyDS notes what proves that a delegation, the part of the name from label
// i on, has no DS records (RFC 4035 §3.1.4.1, RFC 5155 §7.2.7).
func (a *zoneAnswer) denyDS(i int) {
	if a.zone.hashed {
		a.encloserOrMatch(i)
		return
	}
	a.proofs.add(a.s.nameLink(a.zone, a.name.from(i)))
}

// denyWildcard notes the link that has, or covers, the wildcard below the part
// of the name from label i on.
func (a *zoneAnswer) denyWildcard(i int) {
	encloser := a.name.from(i)
	if 2+len(encloser) > query.MaxNameBytes {
		return // there can be none
	}
	var buf [query.MaxNameBytes + 1]byte
	wildcard := append(append(buf[:0], 1, '*'), encloser...)
	if a.zone.hashed {
		a.proofs.add(a.wildcardLink(i, wildcard))
	} else {
		a.proofs.add(a.s.nameLink(a.zone, wildcard))
	}
}

// encloserOrMatch notes the link of the part of the name from label i on or,
// where Opt-Out has left it out, its closest provable encloser.
func (a *zoneAnswer) encloserOrMatch(i int) {
	if link, ok := a.findLabel(i); ok {
		a.proofs.add(link)
		return
	}
	a.encloser(i + 1)
}

// encloser proves the closest encloser (RFC 5155 §7.2.1), looked for from label
// i on towards the apex, which has a link. It returns where it begins.
func (a *zoneAnswer) encloser(i int) int {
	for {
		link, ok := a.findLabel(i)
		if ok || i >= a.spot.apex {
			a.proofs.add(link)
			break
		}
		i++
	}
	if i > 0 {
		a.proofs.add(a.s.hashLink(a.zone, a.name.from(i-1)))
	}
	return i
}
