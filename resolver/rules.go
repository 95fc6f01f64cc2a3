package resolver

import (
	"slices"

	"domainpark/query"
)

// profile is what parked domains answer, compiled. It never changes.
type profile struct {
	types   []typeRules
	indexes [indexedTypes]uint16 // of the lower types in types, counted from 1; 0: the type has no records
	soa     *records             // for negative answers: in the authority section
}

// indexedTypes is how many types are found without a search: all below, CAA
// being the last that matters.
const indexedTypes = typeCAA + 1

// typeRules are the records of one type: at names with a label that begins with
// an underscore and at those without, because a pattern stands for either. Of
// each, the most specific pattern comes first.
type typeRules struct {
	rrtype           uint16
	scoped, ordinary []rule

	// What ordinary says of the parked domain itself, nil when that has no records
	// of the type: half of all queries need no look at patterns.
	apex *records
}

type rule struct {
	pattern pattern
	records *records
}

// find returns the records of type rrtype that q's name has, or nil. The first
// below labels of the name lie below the parked domain.
func (p *profile) find(rrtype uint16, q *query.Query, below int, underscore bool) *records {
	of := p.rules(rrtype)
	if of == nil {
		return nil
	}
	rules := of.ordinary
	switch {
	case underscore:
		rules = of.scoped
	case below == 0:
		return of.apex
	}
	for j := range rules {
		if rules[j].pattern.matches(q, below) {
			return rules[j].records
		}
	}
	return nil
}

// rules are those of a type, or nil.
func (p *profile) rules(rrtype uint16) *typeRules {
	if rrtype < indexedTypes {
		if i := p.indexes[rrtype]; i > 0 {
			return &p.types[i-1]
		}
		return nil
	}
	for i := range p.types {
		if p.types[i].rrtype == rrtype {
			return &p.types[i]
		}
	}
	return nil
}

// add adds a rule; sort must follow.
func (p *profile) add(rrtype uint16, r rule) {
	of := p.rules(rrtype)
	if of == nil {
		p.types = append(p.types, typeRules{rrtype: rrtype})
		of = &p.types[len(p.types)-1]
		if rrtype < indexedTypes {
			p.indexes[rrtype] = uint16(len(p.types))
		}
	}
	if r.pattern.underscore {
		of.scoped = append(of.scoped, r)
	} else {
		of.ordinary = append(of.ordinary, r)
	}
}

// sort puts the more specific patterns first, and notes what the parked domain
// itself has.
func (p *profile) sort() {
	for i := range p.types {
		t := &p.types[i]
		for _, rules := range [][]rule{t.scoped, t.ordinary} {
			slices.SortFunc(rules, func(a, b rule) int { return a.pattern.compare(&b.pattern) })
		}
		if i := slices.IndexFunc(t.ordinary, func(r rule) bool { return r.pattern.least == 0 }); i >= 0 {
			t.apex = t.ordinary[i].records
		}
	}
}
