package resolver

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"domainpark/query"

	"github.com/miekg/dns"
)

// snapshot is everything that answers are made from, compiled. It never
// changes: a query takes one at its start and keeps to it.
type snapshot struct {
	domains    *domains
	onlyListed bool // parking.only is set
	profile    *profile
	hosts      []hostRecords // the name servers, in the order of the settings
	any        *records      // RFC 8482
	version    *records      // nil: not told
	id         *records      // nil: not told
	nsid       []byte        // empty: not told

	// The operator's zones.
	zoneData  zoneData
	signed    []signedZone
	hashes    *hashMemo // of zones with NSEC3; nil: there are none
	zones     []ZoneInfo
	zoneSize  ZoneSize
	reportTTL uint32 // of the records that authorise DMARC reports, seconds
}

// hostRecords are the addresses of one name server; nil where there is none.
type hostRecords struct{ a, aaaa *records }

func (h *hostRecords) addresses(rrtype uint16) *records {
	switch rrtype {
	case typeA:
		return h.a
	case typeAAAA:
		return h.aaaa
	}
	return nil
}

// Error says where and why, in one line.
func (e *Error) Error() string {
	switch {
	case e.File == "":
		return e.Field + ": " + e.Reason
	case e.Column == 0:
		return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Reason)
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Reason)
}

const (
	defaultTTL     = time.Hour
	maxNameServers = 13  // more do not fit into 512 bytes with their addresses
	maxStringBytes = 255 // RFC 1035 §3.3
)

// compiler makes a snapshot and collects mistakes.
type compiler struct {
	cfg  Config
	s    *snapshot
	v    values
	errs []error
}

func compile(cfg Config) (*snapshot, error) {
	c := &compiler{cfg: cfg, s: &snapshot{domains: expectedDomains(&cfg)}}
	ttl := c.ttl()
	c.suffixes()
	c.nameServers()
	c.lists()
	c.identity()
	usable := len(c.errs) == 0 // what follows needs name servers and lists
	c.zones()
	if !usable {
		return nil, errors.Join(c.errs...)
	}
	c.hostmaster()
	c.mailboxes()
	if c.cfg.Profile.Text == nil {
		c.cfg.Profile = Source{Name: "parked.zone (embedded)", Text: embeddedProfile}
	}
	var errs []error
	c.s.profile, errs = readProfile(c.cfg.Profile, c.v, ttl)
	c.errs = append(c.errs, errs...)
	c.fixed(ttl)
	if len(c.errs) == 0 {
		c.authorise(ttl)
	}
	if len(c.errs) > 0 {
		return nil, errors.Join(c.errs...)
	}
	return c.s, nil
}

// expectedDomains is a table with room for the public suffixes and the lists of
// cfg: one that grows while a million domains are read takes twice the memory.
func expectedDomains(cfg *Config) *domains {
	const suffixes, suffixBytes = 16384, 256 << 10
	count, size := suffixes, suffixBytes
	for _, list := range [][]string{cfg.Only, cfg.Apexes} {
		count += len(list)
		for _, name := range list {
			label, _, _ := strings.Cut(name, ".")
			size += len(label) + 1 // parents are few
		}
	}
	return newDomains(count, size)
}

func (c *compiler) fail(field, format string, args ...any) {
	c.errs = append(c.errs, &Error{Field: field, Reason: fmt.Sprintf(format, args...)})
}

func (c *compiler) ttl() uint32 {
	if c.cfg.TTL == 0 {
		c.cfg.TTL = defaultTTL
	}
	if t := c.cfg.TTL; t < 0 || t > (1<<31-1)*time.Second || t%time.Second != 0 {
		c.fail("TTL", "%s: expected whole seconds from 0 to 2147483647 (RFC 2181 §8)", t)
	}
	return uint32(c.cfg.TTL / time.Second)
}

func (c *compiler) suffixes() {
	c.errs = append(c.errs, c.s.domains.addSuffixes(c.cfg.PublicSuffixes)...)
}

func (c *compiler) nameServers() {
	if n := len(c.cfg.NameServers); n == 0 || n > maxNameServers {
		c.fail("NameServers", "%d of them: expected 1 to %d", n, maxNameServers)
	}
	for i, ns := range c.cfg.NameServers {
		field := fmt.Sprintf("NameServers[%d]", i)
		wire, err := wireName(ns.Name)
		if err != nil {
			c.fail(field, "%s", err)
			continue
		}
		if wire[0] == 0 {
			c.fail(field, "the root is no host")
			continue
		}
		n, err := c.s.domains.add(wire, host)
		switch {
		case err != nil:
			c.fail(field, "%s", err)
			continue
		case n.value != 0:
			c.fail(field, "%s is there twice", ns.Name)
			continue
		}
		n.value = uint32(i + 1)
		c.v.servers = append(c.v.servers, server{dns.Fqdn(ns.Name), wire, ns.Addresses})
		c.s.hosts = append(c.s.hosts, c.host(field, ns.Addresses))
	}
}

// host compiles the addresses of one name server, asked for by its own name.
func (c *compiler) host(field string, addrs []netip.Addr) hostRecords {
	var a, aaaa builder
	for _, addr := range addrs {
		b := &aaaa
		if addr.Is4() {
			b = &a
		}
		if !addr.IsValid() || addr.Is4In6() || addr.Zone() != "" {
			c.fail(field, "address %s: expected an IPv4 or IPv6 address without a zone", addr)
			continue
		}
		if err := b.add(&b.answer, nil, addressRecord(addr)); err != nil {
			c.fail(field, "%s", err)
		}
	}
	return hostRecords{a: a.made(), aaaa: aaaa.made()}
}

// made returns what was built, nil when that is nothing.
func (b *builder) made() *records {
	if b.answer+b.ns+b.ar == 0 {
		return nil
	}
	return &b.records
}

// lists enters the operator's lists of domains.
func (c *compiler) lists() {
	refused := c.cfg.Refuse
	if refused == nil {
		refused = DefaultRefuse
	}
	c.list("Refuse", refused, refuse)
	c.list("Only", c.cfg.Only, only)
	c.list("Apexes", c.cfg.Apexes, apex)
	c.s.onlyListed = len(c.cfg.Only) > 0
	for i, h := range c.cfg.ACMEHosts {
		c.exemptFromCAA(fmt.Sprintf("ACMEHosts[%d]", i), h)
	}
}

func (c *compiler) list(field string, names []string, f flags) {
	var buf [query.MaxNameBytes + 1]byte
	for i, name := range names {
		wire, err := appendName(buf[:0], name)
		if err == nil && wire[0] == 0 {
			err = errors.New("the root can't be in this list")
		}
		if err == nil {
			_, err = c.s.domains.add(wire, f)
		}
		if err != nil {
			c.fail(fmt.Sprintf("%s[%d]", field, i), "%s", err)
		}
	}
}

// exemptFromCAA keeps the profile's CAA records away from the domain that h
// lies in: they would forbid the certificate that is asked for there.
func (c *compiler) exemptFromCAA(field, h string) {
	base, err := c.s.baseOf(h)
	if err != nil {
		c.fail(field, "%s", err)
		return
	}
	if base == nil {
		return // nothing is answered for it anyway
	}
	if _, err := c.s.domains.add(base, noCAA); err != nil {
		c.fail(field, "%s", err)
	}
}

// baseOf returns the parked domain that the name text lies in, in wire format;
// nil when it lies in none.
func (s *snapshot) baseOf(text string) ([]byte, error) {
	wire, err := wireName(text)
	if err != nil {
		return nil, err
	}
	var at [query.MaxLabels + 1]uint8
	n := labelled(wire, &at)
	var z spot
	p := s.locate(n, n.scope(), &z)
	if p.base < 0 {
		return nil, nil
	}
	return n.from(p.base), nil
}

// hostmaster fills in {rname}.
func (c *compiler) hostmaster() {
	mailbox := c.cfg.Hostmaster
	if mailbox == "" {
		anywhere := snapshot{domains: c.s.domains} // our hosts lie where they lie, whatever Only says
		base, err := anywhere.baseOf(c.cfg.NameServers[0].Name)
		if err != nil || base == nil {
			base = c.v.servers[0].wire
		}
		mailbox = "hostmaster@" + string(appendText(nil, base))
	}
	name, err := mailboxName(mailbox)
	if err != nil {
		c.fail("Hostmaster", "%s", err)
	}
	c.v.rname = name
}

// mailboxes fills in {rua}, {ruf} and {iodef}.
func (c *compiler) mailboxes() {
	for _, l := range []struct {
		field string
		list  []string
	}{{"RUA", c.cfg.RUA}, {"RUF", c.cfg.RUF}, {"IODEF", c.cfg.IODEF}} {
		for i, m := range l.list {
			if hasScheme(m) {
				continue
			}
			if _, err := mailboxName(m); err != nil {
				c.fail(fmt.Sprintf("%s[%d]", l.field, i), "%s", err)
			}
		}
	}
	c.v.rua = reportTag("rua", c.cfg.RUA)
	c.v.ruf = reportTag("ruf", c.cfg.RUF)
	for _, u := range c.cfg.IODEF {
		c.v.iodef = append(c.v.iodef, quoted(mailboxURI(u)))
	}
}
