package resolver

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// zoneChecker finds the mistakes that show only when a zone is complete, as
// named-checkzone does.
type zoneChecker struct {
	r     *zoneReader
	names map[string]*zoneOwner // nil: the name has no records, but one below has
	order []*zoneOwner
}

// zoneOwner is a name with its records.
type zoneOwner struct {
	name    string // wire format
	records []zoneRecord
	sets    int        // without NSEC and RRSIG, which stand beside any others
	cut     *zoneOwner // the delegation that it lies below, or is
	at      uint32     // where the records are in zoneData
}

// checkZone reports mistakes to r and returns the zone's names in order, and the
// chain of its denials when it is signed.
func checkZone(r *zoneReader) ([]*zoneOwner, *chain) {
	c := &zoneChecker{r: r, names: map[string]*zoneOwner{}}
	for from := 0; from < len(r.records); {
		to := from + 1
		for to < len(r.records) && r.records[to].owner == r.records[from].owner {
			to++
		}
		o := &zoneOwner{name: r.records[from].owner, records: r.records[from:to:to]}
		c.names[o.name] = o
		c.order = append(c.order, o)
		for name := o.name; name != r.apex; {
			name = name[1+name[0]:]
			if c.exists(name) {
				break
			}
			c.names[name] = nil
		}
		from = to
	}
	c.apex()
	for _, o := range c.order {
		c.owner(o)
	}
	for _, o := range c.order {
		c.place(o)
	}
	for _, o := range c.order {
		c.targets(o)
	}
	return c.order, c.signing()
}

func (c *zoneChecker) fail(rec *zoneRecord, format string, args ...any) {
	if len(c.r.errs) >= maxMistakes {
		return
	}
	c.r.fail(rec.file, rec.line, 0, format, args...)
}

// first is the first record of a type; nil: there is none.
func (o *zoneOwner) first(rrtype uint16) *zoneRecord {
	if o == nil {
		return nil
	}
	for i := range o.records {
		if o.records[i].rrtype == rrtype {
			return &o.records[i]
		}
	}
	return nil
}

func text(name string) string { return string(appendText(nil, []byte(name))) + "." }

// apex checks what every zone must have (RFC 1035 §5.2).
func (c *zoneChecker) apex() {
	apex := c.names[c.r.apex]
	for _, rrtype := range []uint16{typeSOA, typeNS} {
		if apex.first(rrtype) == nil {
			c.r.fail(0, 1, 0, "no %s record for %s, the zone's name; every zone has one (RFC 1035 §5.2)", dns.Type(rrtype), c.r.name)
		}
	}
}

// maxSetBytes is what a set may take at most, each record with a compressed
// owner: behind a header and a question of the largest size, with an OPT record
// and its options, it must fit into one message.
const maxSetBytes = maxStream - 1024

// owner checks the records of one name by themselves.
func (c *zoneChecker) owner(o *zoneOwner) {
	atApex, wildcard := o.name == c.r.apex, strings.HasPrefix(o.name, "\x01*")
	size := 0
	for i := range o.records {
		rec := &o.records[i]
		first := i == 0 || !o.records[i-1].sameSet(rec)
		if first && rec.rrtype != typeRRSIG { // what signs a set goes with it
			size = 0
		}
		if first && rec.rrtype != typeRRSIG && rec.rrtype != typeNSEC {
			o.sets++
		}
		before := size
		size += 2 + 10 + len(rec.data)
		switch {
		case before <= maxSetBytes && size > maxSetBytes:
			c.fail(rec, "the %s records of %s take more than the %d bytes that fit into one message with all that belongs there", dns.Type(rec.rrtype), text(o.name), maxSetBytes)
		case rec.rrtype == typeSOA && !atApex:
			c.fail(rec, "an SOA record for %s; a zone has one alone, for its own name %s (RFC 1035 §5.2)", text(o.name), c.r.name)
		case !first && rec.ttl != o.records[i-1].ttl:
			c.fail(rec, "TTL %d, but line %d gives the %s records of %s TTL %d; they must be the same (RFC 2181 §5.2)",
				rec.ttl, o.records[i-1].line, dns.Type(rec.rrtype), text(o.name), o.records[i-1].ttl)
		case !first && (rec.rrtype == typeSOA || rec.rrtype == typeCNAME || rec.rrtype == typeDNAME):
			c.fail(rec, "a second %s record for %s; line %d has the first, and there can be but one", dns.Type(rec.rrtype), text(o.name), o.records[i-1].line)
		case first && wildcard && (rec.rrtype == typeNS || rec.rrtype == typeDNAME || rec.rrtype == typeDS):
			c.fail(rec, "%s records for the wildcard %s have no meaning (RFC 4592 §4); write the names out", dns.Type(rec.rrtype), text(o.name))
		case first && rec.rrtype == typeDS && atApex:
			c.fail(rec, "a DS record for %s, the zone's own name; it belongs into the zone above (RFC 4035 §2.4)", c.r.name)
		case first && rec.rrtype == typeDS && o.first(typeNS) == nil:
			c.fail(rec, "a DS record for %s, which is not delegated: there is no NS record for it (RFC 4035 §2.4)", text(o.name))
		}
	}
	if cname := o.first(typeCNAME); cname != nil && o.sets > 1 {
		c.fail(cname, "a CNAME record for %s, which has other records as well (RFC 1034 §3.6.2)", text(o.name))
	}
	if dname := o.first(typeDNAME); dname != nil && !atApex && o.first(typeNS) != nil {
		c.fail(dname, "a DNAME record for %s, which is delegated (RFC 6672 §2.4)", text(o.name))
	}
}

// place checks what lies above a name: delegations and DNAME records.
func (c *zoneChecker) place(o *zoneOwner) {
	for name := o.name; name != c.r.apex; name = name[1+name[0]:] {
		above := c.names[name]
		if above.first(typeNS) != nil {
			o.cut = above // the last one found is the highest
		}
		if dname := above.first(typeDNAME); dname != nil && above != o {
			c.fail(&o.records[0], "%s lies below %s, which line %d makes a DNAME (RFC 6672 §2.4)", text(o.name), text(name), dname.line)
		}
	}
	if o.name != c.r.apex {
		if dname := c.names[c.r.apex].first(typeDNAME); dname != nil {
			c.fail(&o.records[0], "%s lies below %s, which line %d makes a DNAME (RFC 6672 §2.4)", text(o.name), c.r.name, dname.line)
		}
	}
	if o.cut == nil {
		return
	}
	for i := range o.records {
		rec := &o.records[i]
		glue := rec.rrtype == typeA || rec.rrtype == typeAAAA
		delegation := o == o.cut && (rec.rrtype == typeNS || signedAtCut(rec.rrtype) || signedAtCut(rec.covers()))
		if !glue && !delegation && (i == 0 || !o.records[i-1].sameSet(rec)) {
			c.fail(rec, "%s records of %s can't be asked for: line %d delegates %s; only addresses of name servers belong there",
				dns.Type(rec.rrtype), text(o.name), o.cut.first(typeNS).line, text(o.cut.name))
		}
	}
}

// targets checks the names that records point to, as far as they lie in this
// zone.
func (c *zoneChecker) targets(o *zoneOwner) {
	for i := range o.records {
		rec := &o.records[i]
		if rec.rrtype != typeNS && rec.rrtype != typeMX && rec.rrtype != typeSRV {
			continue
		}
		to := string(foldedBytes(target(rec.rrtype, rec.data)))
		if to == "\x00" || !within(to, c.r.apex) {
			continue
		}
		if problem := c.target(o, rec.rrtype, to); problem != "" {
			c.fail(rec, "%s record of %s: %s %s", dns.Type(rec.rrtype), text(o.name), text(to), problem)
		}
	}
}

// target is what is wrong with the name to, which records of o point to.
func (c *zoneChecker) target(o *zoneOwner, rrtype uint16, to string) string {
	encloser := to
	for encloser != c.r.apex && !c.exists(encloser) {
		encloser = encloser[1+encloser[0]:]
	}
	for name := to; name != c.r.apex; name = name[1+name[0]:] {
		above := c.names[name]
		if above.first(typeNS) != nil && (rrtype != typeNS || above != o) {
			return "" // another zone's business
		}
	}
	for name := encloser; ; name = name[1+name[0]:] {
		if name != to && c.names[name].first(typeDNAME) != nil {
			return "" // it may lead anywhere
		}
		if name == c.r.apex {
			break
		}
	}
	host := c.names[to]
	if host == nil && encloser != to {
		host = c.names["\x01*"+encloser]
	}
	switch {
	case host.first(typeCNAME) != nil && rrtype == typeNS:
		return fmt.Sprintf("is a CNAME (line %d); name servers need addresses of their own (RFC 2181 §10.3)", host.first(typeCNAME).line)
	case host.first(typeCNAME) != nil || host.first(typeA) != nil || host.first(typeAAAA) != nil:
		return ""
	}
	return "has no address in this zone; add an A or AAAA record for it"
}

// exists tells whether a name or one below has records.
func (c *zoneChecker) exists(name string) bool {
	_, ok := c.names[name]
	return ok
}
