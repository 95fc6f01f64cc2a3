package policy

import (
	"net/netip"

	"github.com/gaissmai/bart"
)

// access answers who may ask at all, in one lookup whatever the number of
// prefixes. Of the allow and deny prefixes that hold an address the longest
// decides, a denied one when both name the same; where there are allowed
// prefixes, everybody else is denied. Any trusted prefix that holds an
// address makes it trusted. It is immutable.
type access struct {
	table *bart.Fast[standing] // nil: no lists
	other standing             // of an address that no prefix holds
}

// standing is what a client may do.
type standing struct {
	denied  bool
	trusted bool // exempt from limits
}

func newAccess(allow, deny, trust []netip.Prefix) access {
	a := access{other: standing{denied: len(allow) > 0}}
	if len(allow)+len(deny)+len(trust) == 0 {
		return a
	}
	listed, trusted := new(bart.Fast[standing]), new(bart.Fast[struct{}])
	for _, p := range allow {
		listed.Insert(unmapped(p), standing{denied: false})
	}
	for _, p := range deny {
		listed.Insert(unmapped(p), standing{denied: true})
	}
	for _, p := range trust {
		trusted.Insert(unmapped(p), struct{}{})
	}
	// Every prefix of any list gets the whole truth, so that the longest one
	// that holds an address says it all.
	a.table = new(bart.Fast[standing])
	for _, list := range [][]netip.Prefix{allow, deny, trust} {
		for _, p := range list {
			p = unmapped(p)
			s, ok := listed.LookupPrefix(p)
			if !ok {
				s = a.other
			}
			_, s.trusted = trusted.LookupPrefix(p)
			a.table.Insert(p, s)
		}
	}
	return a
}

// unmapped turns an IPv6-mapped IPv4 prefix into the IPv4 prefix that it is.
func unmapped(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96).Masked()
	}
	return p.Masked()
}

// of is the standing of an address, which must not be IPv6-mapped.
func (a *access) of(addr netip.Addr) standing {
	if a.table == nil {
		return a.other
	}
	return a.lookup(addr)
}

// lookup is of where there are lists.
func (a *access) lookup(addr netip.Addr) standing {
	if s, ok := a.table.Lookup(addr); ok {
		return s
	}
	return a.other
}
