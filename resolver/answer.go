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
	var (
		count   = len(of.at)
		marks   = marks{deepest: count, exempt: count}
		id      = root
		parent  flags // of the parent of the label at hand
		suffix  = count - 1
		private = false
	)
	for i := count - 1; i >= 0; i-- {
		n := s.domains.child(id, of.wire[of.at[i]:])
		var f flags
		if n != nil {
			f, id = n.flags, n.id
		}
		if (f|parent)&anySuffix != 0 && i > scope {
			switch {
			case f&exception != 0:
				suffix = i + 1
			case f&(suffixICANN|suffixPrivate) != 0:
				suffix, private = i, f&suffixICANN == 0
			case parent&wildcards != 0:
				suffix, private = i, parent&wildcardICANN == 0
			}
		}
		if f&marked != 0 {
			marks.note(i, n, z)
		}
		if f&(inner|wildcards) == 0 {
			break
		}
		parent = f
	}
	p := place{base: -1, host: marks.host}
	if marks.seen&refuse != 0 || s.onlyListed && marks.seen&only == 0 {
		return p
	}
	p.base = base(suffix, scope, private, marks.deepest)
	p.noCAA = p.base >= 0 && marks.exempt == p.base
	return p
}

// anySuffix are the flags that come from the public suffix list, marked those
// that the operator's settings and zones give: few names of the internet have
// one, and the walk takes a quarter less instructions when it looks at them
// together.
const (
	anySuffix = suffixICANN | suffixPrivate | wildcards | exception
	marked    = apex | only | refuse | host | noCAA | inZone
)

// marks are what the operator says of a name and its parents.
type marks struct {
	seen    flags // all of them together
	host    int   // as in place
	deepest int   // the label at which the deepest apex begins; the number of labels: there is none
	exempt  int   // the same for a base without CAA
}

// note takes up what is said of the part that begins at label i, and notes in
// z what zones have. It is called from the right to the left.
func (m *marks) note(i int, n *slot, z *spot) {
	f := n.flags
	m.seen |= f
	if f&inZone != 0 {
		z.enter(i, n)
	}
	if f&apex != 0 {
		m.deepest = i
	}
	if f&noCAA != 0 {
		m.exempt = i
	}
	if i == 0 && f&host != 0 {
		m.host = int(n.value)
	}
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
