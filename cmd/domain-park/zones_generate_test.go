package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// generatedZone is a zone for comparisons: records by owner, relative to the
// apex, "@" for that.
type generatedZone struct {
	name    string
	owners  []string
	records map[string][]string
}

func (z *generatedZone) add(owner string, records ...string) {
	if z.records[owner] == nil {
		z.owners = append(z.owners, owner)
	}
	z.records[owner] = append(z.records[owner], records...)
}

// below tells whether owner lies below another one that has a record of type.
func (z *generatedZone) below(owner, rrtype string) bool {
	for {
		_, parent, ok := strings.Cut(owner, ".")
		if !ok {
			return false
		}
		owner = parent
		if slices.ContainsFunc(z.records[owner], func(r string) bool { return strings.HasPrefix(r, rrtype+" ") }) {
			return true
		}
	}
}

// above tells whether another owner lies below this one.
func (z *generatedZone) above(owner string) bool {
	return slices.ContainsFunc(z.owners, func(o string) bool { return strings.HasSuffix(o, "."+owner) })
}

func (z *generatedZone) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "$ORIGIN %s.\n$TTL 3600\n", z.name)
	for _, o := range z.owners {
		for _, r := range z.records[o] {
			fmt.Fprintf(&b, "%s %s\n", o, r)
		}
	}
	return b.String()
}

var generatedLabels = []string{"a", "b", "c", "d", "www", "Mail", "_tcp", "*", "x\\.y", "\\000"}

// generatedZones lists what is generated: zones inside zones, delegated and
// not, and zones that only aliases connect.
var generatedZones = []string{"example", "sub.example", "c.b.a.example", "other.test", "reverse.arpa"}

// generateZones makes zones with everything in them.
func generateZones(rnd *rand.Rand) map[string]*generatedZone {
	zones := map[string]*generatedZone{}
	for _, name := range generatedZones {
		z := &generatedZone{name: name, records: map[string][]string{}}
		zones[name] = z
		z.add("@", "SOA ns1 Host.Master 7 7200 900 1209600 300", "NS ns1", "NS ns2.elsewhere.invalid.", "MX 10 h1", "MX 20 mx.elsewhere.invalid.", `TXT "apex" "of zone"`)
		z.add("ns1", "A 192.0.2.1", "AAAA 2001:db8::1")
		z.add("h1", "A 192.0.2.2", "A 192.0.2.3")
		z.add("h2", "AAAA 2001:db8::2", "TXT \"h2\"")
	}
	e := zones["example"]
	e.add("sub", "NS ns1.sub", "DS 1 8 2 "+strings.Repeat("01", 32))
	e.add("ns1.sub", "A 192.0.2.1", "AAAA 2001:db8::1")
	e.add("c.b.a", "NS ns1.c.b.a")
	e.add("ns1.c.b.a", "A 192.0.2.1")
	for i := range 60 {
		e.add("big", fmt.Sprintf("A 198.51.100.%d", i))
	}
	e.add("big", "A 198.51.100.7") // a duplicate
	e.add("bigtxt", fmt.Sprintf("TXT %q %q %q %q %q", strings.Repeat("x", 255), strings.Repeat("y", 255), strings.Repeat("z", 255), strings.Repeat("v", 255), strings.Repeat("w", 255)))
	long := strings.Repeat("l", 63)
	e.add("longdname", "DNAME "+long+"."+long+"."+long+".target")
	e.add("chain0", "CNAME chain1")
	for i := range 12 {
		e.add(fmt.Sprintf("chain%d", i+1), fmt.Sprintf("CNAME chain%d", i+2))
	}
	e.add("chain13", "A 192.0.2.13")
	e.add("loop1", "CNAME loop2")
	e.add("loop2", "CNAME loop3")
	e.add("loop3", "CNAME loop1")
	e.add("self", "CNAME self")
	for _, name := range generatedZones {
		zones[name].generate(rnd, zones)
	}
	return zones
}

// generate adds random names.
func (z *generatedZone) generate(rnd *rand.Rand, zones map[string]*generatedZone) {
	pick := func(of ...string) string { return of[rnd.IntN(len(of))] }
	somewhere := func() string {
		to := zones[generatedZones[rnd.IntN(len(generatedZones))]]
		name := to.name + "."
		for range rnd.IntN(4) {
			name = pick("a", "b", "c", "d", "www", "Mail", "nx", "h1", "sub") + "." + name
		}
		return pick(name, name, name, "h1."+to.name+".", "elsewhere.invalid.")
	}
	host := func() string { return pick("h1", "H2", "ns1", "host.elsewhere.invalid.") }
	for range 120 {
		var labels []string
		for range 1 + rnd.IntN(4) {
			labels = append(labels, pick(generatedLabels...))
		}
		owner := strings.Join(labels, ".")
		if z.records[owner] != nil || z.below(owner, "DNAME") || z.below(owner, "NS") || slices.Contains(labels[1:], "*") && rnd.IntN(4) > 0 {
			continue
		}
		// NSD takes no DNAME above another zone.
		wildcard := labels[0] == "*" || z.name == "example" && strings.HasSuffix("c.b.a", owner)
		switch n := rnd.IntN(20); {
		case n < 4:
			z.add(owner, "CNAME "+somewhere())
		case n < 6 && !wildcard && !z.above(owner):
			z.add(owner, "DNAME "+somewhere())
		case n < 9 && !wildcard && !z.above(owner):
			ns := pick("in", "in", "both", "out", "sibling", "self")
			switch ns {
			case "in":
				z.add(owner, "NS ns."+owner)
				z.add("ns."+owner, "A 192.0.2.53")
			case "both":
				z.add(owner, "NS NS.a."+owner, "NS ns1", "NS ns2.elsewhere.invalid.")
				z.add("ns.a."+owner, "A 192.0.2.53", "AAAA 2001:db8::53")
			case "out":
				z.add(owner, "NS ns.elsewhere.invalid.", "NS h2")
			case "sibling":
				z.add(owner, "NS ns1.sub.example.", "NS h1.other.test.")
			case "self":
				z.add(owner, "NS "+owner)
				z.add(owner, "A 192.0.2.54")
			}
			if rnd.IntN(3) == 0 {
				z.add(owner, "DS 12345 8 2 "+strings.Repeat("ab", 32))
			}
		default:
			for range 1 + rnd.IntN(3) {
				z.addData(owner, rnd, host)
			}
		}
	}
}

// addData adds a set of records of a type that owner has not yet.
func (z *generatedZone) addData(owner string, rnd *rand.Rand, host func() string) {
	sets := [][]string{
		{"A 192.0.2.10", "A 192.0.2.11"},
		{"AAAA 2001:db8::10"},
		{`TXT "text"`, `TXT "other" "text"`},
		{"MX 10 " + host(), "MX 20 h2"},
		{"SRV 1 2 80 " + host(), "SRV 1 3 81 h1", "SRV 1 3 82 h1"},
		{"MX 0 ."},
		{`CAA 0 issue "ca.example"`},
		{`HINFO "cpu" "os"`},
		{"PTR " + host()},
		{"SSHFP 1 1 0123456789012345678901234567890123456789"},
		{"TYPE65400 \\# 3 010203"},
		{"TLSA 3 1 1 " + strings.Repeat("cd", 32)},
		{`NAPTR 1 1 "u" "E2U+sip" "!^.*$!sip:x@example!" .`},
		{"LOC 51 30 12.748 N 0 7 39.611 W 0.00m 0.00m 0.00m 0.00m"},
		{"RP h1 h2"},
	}
	set := sets[rnd.IntN(len(sets))]
	rrtype, _, _ := strings.Cut(set[0], " ")
	if !slices.ContainsFunc(z.records[owner], func(r string) bool { return strings.HasPrefix(r, rrtype+" ") }) {
		z.add(owner, set...)
	}
}

// asker makes questions: first every name with every type, then random ones.
type asker struct {
	rnd   *rand.Rand
	names []string // absolute
	n     int
	id    uint16
}

var askedTypes = []uint16{dns.TypeA, dns.TypeNS, dns.TypeCNAME, dns.TypeSOA, dns.TypePTR, dns.TypeHINFO, dns.TypeMX, dns.TypeTXT, dns.TypeRP, dns.TypeAAAA,
	dns.TypeLOC, dns.TypeSRV, dns.TypeNAPTR, dns.TypeDNAME, dns.TypeDS, dns.TypeSSHFP, dns.TypeTLSA, dns.TypeSVCB, dns.TypeHTTPS, dns.TypeANY, dns.TypeCAA, 65400, 65401,
	dns.TypeRRSIG, dns.TypeNSEC, dns.TypeDNSKEY}

func newAsker(rnd *rand.Rand, zones map[string]*generatedZone) *asker {
	a := &asker{rnd: rnd}
	for _, name := range generatedZones {
		z := zones[name]
		for _, o := range z.owners {
			if o == "@" {
				a.names = append(a.names, name+".")
			} else {
				a.names = append(a.names, o+"."+name+".")
			}
		}
	}
	return a
}

func (a *asker) next() *dns.Msg {
	types := len(askedTypes)
	name, qtype := a.names[a.n/types%len(a.names)], askedTypes[a.n%types]
	if a.n >= len(a.names)*types {
		name, qtype = a.beside(a.names[a.rnd.IntN(len(a.names))]), askedTypes[a.rnd.IntN(types)]
	}
	a.n++
	a.id++
	m := &dns.Msg{MsgHdr: dns.MsgHdr{Id: a.id, RecursionDesired: a.rnd.IntN(2) == 0}}
	m.Question = []dns.Question{{Name: a.mixed(name), Qtype: qtype, Qclass: dns.ClassINET}}
	switch a.rnd.IntN(3) {
	case 1:
		m.SetEdns0(1232, false)
	case 2:
		m.SetEdns0(1232, true)
	}
	return m
}

// beside is a name below, above or next to name.
func (a *asker) beside(name string) string {
	labels := dns.SplitDomainName(name)
	label := func() string {
		return append(generatedLabels, "nx", "h1", "ns", "sub")[a.rnd.IntN(len(generatedLabels)+4)]
	}
	if a.rnd.IntN(3) == 0 && len(labels) > 2 {
		labels = labels[1:]
	}
	if a.rnd.IntN(3) == 0 {
		labels[0] = label()
	}
	for a.rnd.IntN(2) == 0 && len(labels) < 20 {
		labels = append([]string{label()}, labels...)
	}
	if a.rnd.IntN(50) == 0 {
		labels = append([]string{strings.Repeat("q", 60)}, labels...)
	}
	if beside := strings.Join(labels, ".") + "."; zoneOf(beside) != "" {
		return beside
	}
	return name
}

// mixed changes the case of letters.
func (a *asker) mixed(name string) string {
	b := []byte(name)
	for i, c := range b {
		if c >= 'a' && c <= 'z' && a.rnd.IntN(3) == 0 {
			b[i] = c - 32
		}
	}
	return string(b)
}
