package resolver

import (
	"strings"

	"domainpark/query"
)

// reportLabels stand in front of the domain of a mailbox that reports go to
// (RFC 9990, earlier RFC 7489 §7.1).
const reportLabels = "\x07_report\x06_dmarc"

// reportRecord is the data of the TXT record that authorises reports.
var reportRecord = []byte("\x09v=DMARC1;")

// authorise marks, for each mailbox of the settings whose domain lies in a
// zone, the place below which names authorise reports for parked domains.
func (c *compiler) authorise(ttl uint32) {
	c.s.reportTTL = ttl
	for _, list := range [][]string{c.cfg.RUA, c.cfg.RUF} {
		for _, mailbox := range list {
			if domain := mailboxDomain(mailbox); domain != nil {
				c.authoriseAt(domain)
			}
		}
	}
}

// mailboxDomain is the domain of a mailbox or a mailto URI; nil of others.
func mailboxDomain(mailbox string) []byte {
	if hasScheme(mailbox) && !strings.EqualFold(mailbox[:len("mailto:")], "mailto:") {
		return nil
	}
	domain := mailbox[strings.LastIndexByte(mailbox, '@')+1:]
	if i := strings.IndexAny(domain, "!?,"); i >= 0 {
		domain = domain[:i] // a largest size, or header fields
	}
	wire, err := wireName(domain)
	if err != nil {
		return nil
	}
	return wire
}

func (c *compiler) authoriseAt(domain []byte) {
	wire := append([]byte(reportLabels), domain...)
	if len(wire) > query.MaxNameBytes {
		return
	}
	var at [query.MaxLabels + 1]uint8
	n := labelled(wire, &at)
	p := c.s.spotOf(n, 0)
	if !p.in || p.cut >= 0 || p.alias > 0 {
		return // somebody else's
	}
	if c.s.signedAt(p.apexNode) != nil {
		return // nobody would believe it: the zone's own signed records must say so
	}
	if _, err := c.s.mark(wire, reports); err != nil {
		c.fail("Zones", "%s", err)
		return
	}
	// What lies between must exist: a resolver that asks for one name after
	// another on its way down would stop there (RFC 8020, RFC 9156). Where a
	// wildcard stands for it, it exists already.
	if _, covered := c.s.wildcard(n.from(p.closest)); covered && p.closest > 2 {
		return
	}
	for i := range p.closest {
		if _, err := c.s.mark(n.from(i), zoneName); err != nil {
			c.fail("Zones", "%s", err)
		}
	}
}

// report answers for a name that authorises DMARC reports when what stands in
// front is parked here, and tells whether it did.
func (a *zoneAnswer) report() bool {
	if !a.s.parks(a.name, a.spot.reports) {
		return false
	}
	switch a.rrtype {
	case typeTXT:
		a.single(typeTXT, a.s.reportTTL, reportRecord)
	case typeANY:
		a.any()
	default:
		a.negative(query.KindNoData)
	}
	return true
}

// parks tells whether the name that the first labels of n form is parked.
func (s *snapshot) parks(n name, labels int) bool {
	var buf [query.MaxNameBytes + 1]byte
	size := copy(buf[:], n.wire[:n.at[labels]])
	of := name{buf[:size+1], n.at[:labels]}
	var z spot
	p := s.locate(of, of.scope(), &z)
	return p.base >= 0 && !z.in
}
