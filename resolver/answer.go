package resolver

import "domainpark/query"

// answer decides what q gets. An answer from an operator's zone is appended to
// dst, behind the question.
func (s *snapshot) answer(dst []byte, q *query.Query, req *request) reply {
	switch {
	case q.Class == classCH:
		return s.chaos(q)
	case q.Class != classIN:
		return failure(query.KindRefused)
	case q.Type == typeAXFR || q.Type == typeIXFR:
		return refusal(prohibited)
	}
	p := s.locate(name{q.Name, q.Labels[:q.Count]}, req.scope, &req.spot)
	if req.spot.in {
		q.Base = q.Name[q.Labels[req.spot.apex]:]
		return s.answerFromZone(dst, q, req)
	}
	if p.host > 0 {
		if rec := s.hosts[p.host-1].addresses(q.Type); rec != nil {
			p.note(q)
			return reply{kind: query.KindAnswer, records: rec, ede: noError}
		}
	}
	if p.base < 0 {
		return refusal(notAuthoritative)
	}
	p.note(q)
	rep := reply{kind: query.KindAnswer, base: headerBytes + int(q.Labels[p.base]), ede: noError}
	switch {
	case q.Type == typeANY:
		rep.records = s.any
	case q.Type == typeCAA && p.noCAA:
	default:
		rep.records = s.profile.find(q.Type, q, p.base, req.scope >= 0)
	}
	if rep.records == nil {
		rep.kind, rep.records = query.KindNoData, s.profile.soa
	}
	return rep
}

// place is where a name lies.
type place struct {
	base  int  // the label of the name at which the parked domain begins; -1: it lies in none
	host  int  // 1 for the first name server, …; 0: the name is none
	noCAA bool // the parked domain gives no CAA
}

// note tells the query its parked domain.
func (p *place) note(q *query.Query) {
	if p.base >= 0 {
		q.Base = q.Name[q.Labels[p.base]:]
	}
}

// locate finds out where a name lies, in one walk over its labels from the
// right: operator's zones, public suffixes by the algorithm of
// https://publicsuffix.org/list/, the operator's lists, and our own hosts. Where
// the name lies in a zone, which it notes in z, that is what answers. scope is the last label of the name
// that begins with an underscore, or -1: nobody can register such a label or
// what lies below it, so that the domain lies to the right of it, even where
// the list has a wildcard. _dmarc.github.io speaks for github.io.
func (s *snapshot) locate(of name, scope int, z *spot) place {
	p := place{base: -1}
	var (
		seen    flags // of the name and all its parents
		parent  flags // of the parent of the label at hand
		count   = len(of.at)
		deepest = count // the label at which the deepest of the operator's apexes begins
		exempt  = count // the same for a base without CAA
		suffix  = count - 1
		private = false
	)
	hash, end := s.domains.root(), len(of.wire)-1
	for i := count - 1; i >= 0; i-- {
		at := int(of.at[i])
		rest := of.wire[at:]
		hash, end = s.domains.below(hash, rest[:end-at]), at
		var f flags
		n := s.domains.at(hash, rest)
		if n != nil {
			f = n.flags
		}
		switch {
		case i <= scope:
		case f&exception != 0:
			suffix = i + 1
		case f&(suffixICANN|suffixPrivate) != 0:
			suffix, private = i, f&suffixICANN == 0
		case parent&wildcards != 0:
			suffix, private = i, parent&wildcardICANN == 0
		}
		if n == nil {
			break
		}
		seen |= f
		if f&inZone != 0 {
			z.enter(i, n)
		}
		if f&apex != 0 {
			deepest = i
		}
		if f&noCAA != 0 {
			exempt = i
		}
		if i == 0 && f&host != 0 {
			p.host = int(n.value)
		}
		if f&(inner|wildcards) == 0 {
			break
		}
		parent = f
	}
	if seen&refuse != 0 || s.onlyListed && seen&only == 0 {
		return p
	}
	p.base = base(suffix, scope, private, deepest)
	p.noCAA = p.base >= 0 && exempt == p.base
	return p
}

// base returns the label at which the parked domain begins, or -1: the
// registrable domain, or the operator's apex where that is deeper. suffix and
// deepest are where the public suffix and the deepest apex begin; scope is as
// in locate.
func base(suffix, scope int, private bool, deepest int) int {
	switch {
	case deepest < suffix:
		return deepest
	case suffix-1 > scope:
		return suffix - 1
	case private || deepest == suffix:
		return suffix // the suffix itself is its owner's domain
	}
	return -1 // a registry's
}

// chaos tells who the server is, as far as the settings allow (RFC 4892 §2.2).
func (s *snapshot) chaos(q *query.Query) reply {
	if q.Type != typeTXT {
		return failure(query.KindRefused)
	}
	var rec *records
	switch string(q.Name) {
	case "\x07version\x04bind\x00", "\x07version\x06server\x00":
		rec = s.version
	case "\x02id\x06server\x00", "\x08hostname\x04bind\x00":
		rec = s.id
	}
	if rec == nil {
		return failure(query.KindRefused)
	}
	return reply{kind: query.KindChaos, records: rec, ede: noError}
}
