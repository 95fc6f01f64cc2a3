package resolver

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

//go:embed parked.zone
var embeddedProfile []byte

// profileReader reads one profile and collects its mistakes.
type profileReader struct {
	source  Source
	values  values
	ttl     uint32
	pattern pattern // of the last owner
	owned   bool    // there was one
	sets    []*rrset
	errs    []error
}

// rrset is the records of one type at one pattern, as they were read.
type rrset struct {
	pattern pattern
	rrtype  uint16
	line    int // of the first record
	spelled bool
	rrs     []dns.RR
}

// pemHead begins the first line of a PEM file (RFC 7468 §3).
const pemHead = "-----BEGIN "

// text is what people wrote: the text without a byte order mark, which some
// editors put first. A PEM file is an error that quotes nothing of it, as it
// may be a private key.
func (s Source) text() (string, *Error) {
	if line := longLineIn(s.Text); line > 0 {
		return "", &Error{File: s.Name, Line: line, Reason: longLine}
	}
	text := strings.TrimPrefix(string(s.Text), "\ufeff")
	if strings.HasPrefix(text, pemHead) || strings.Contains(text, "\n"+pemHead) {
		return "", &Error{File: s.Name, Line: 1, Reason: "a PEM file, such as a certificate or a key, or with one in it; give another file"}
	}
	return text, nil
}

// readProfile compiles source. ttl is that of records without one, in seconds.
func readProfile(source Source, v values, ttl uint32) (*profile, []error) {
	r := &profileReader{source: source, values: v, ttl: ttl}
	text, err := source.text()
	if err != nil {
		return nil, []error{err}
	}
	line, reason := eachEntry(text, func(e *entry) bool {
		if len(r.errs) >= maxMistakes {
			r.fail(e.line, 0, "more than %d mistakes: from here on the profile was not read", maxMistakes)
			return false
		}
		r.entry(e)
		return true
	})
	if reason != "" {
		r.fail(line, 0, "%s", reason)
	}
	if len(r.errs) == 0 {
		r.require()
	}
	if len(r.errs) > 0 {
		return nil, r.errs
	}
	p := r.compile()
	return p, r.errs
}

func (r *profileReader) fail(line, column int, format string, args ...any) {
	r.errs = append(r.errs, &Error{File: r.source.Name, Line: line, Column: column, Reason: bounded(fmt.Sprintf(format, args...))})
}

// entry reads a directive or a record.
func (r *profileReader) entry(e *entry) {
	if strings.HasPrefix(e.owner, "$") {
		r.directive(e)
		return
	}
	if e.owner != "" {
		p, err := parsePattern(e.owner)
		if err != nil {
			r.fail(e.line, e.column, "%s", err)
			r.owned = false
			return
		}
		r.pattern, r.owned = p, true
	} else if !r.owned {
		r.fail(e.line, e.column, "a record without an owner; write a pattern such as @ or ** at the start of the line")
		return
	}
	texts, err := r.values.fill(e.rest)
	if err != nil {
		r.fail(e.line, columnOf(e, err), "%s", err)
		return
	}
	for _, text := range texts {
		r.record(e, text)
	}
}

func (r *profileReader) directive(e *entry) {
	if !strings.EqualFold(e.owner, "$TTL") {
		r.fail(e.line, e.column, "%s is not possible in a profile: its owners are patterns relative to the parked domain; only $TTL is", e.owner)
		return
	}
	ttl, err := strconv.ParseUint(strings.TrimSpace(e.rest), 10, 31)
	if err != nil {
		r.fail(e.line, e.column, "$TTL%s: expected a number of seconds from 0 to 2147483647 (RFC 2181 §8)", e.rest)
		return
	}
	r.ttl = uint32(ttl)
}

// record reads one record whose substitutions have been filled in.
func (r *profileReader) record(e *entry, text string) {
	zp := dns.NewZoneParser(strings.NewReader(". "+text+"\n"), ".", "")
	zp.SetDefaultTTL(r.ttl)
	rr, ok := zp.Next()
	if !ok {
		reason, column := parseReason(e, zp.Err())
		r.fail(e.line, column, "%s", reason)
		return
	}
	if !hasData(text) {
		r.fail(e.line, e.column, "a %s record without data; a record is written: owner [TTL] TYPE data", dns.Type(rr.Header().Rrtype))
		return
	}
	spelled := strings.Contains(e.rest, "{base}")
	if err := r.check(rr, spelled); err != nil {
		r.fail(e.line, columnOf(e, err), "%s", err)
		return
	}
	r.store(e, rr, spelled)
}

// check refuses records that a profile can't have. spelled tells that {base}
// stands in the record.
func (r *profileReader) check(rr dns.RR, spelled bool) error {
	h := rr.Header()
	name := dns.Type(h.Rrtype).String()
	atBase := len(r.pattern.tokens) == 0
	switch {
	case h.Class != dns.ClassINET:
		return &tokenError{dns.Class(h.Class).String(), fmt.Sprintf("class %s: a profile has class IN alone", dns.Class(h.Class))}
	case h.Ttl > 1<<31-1:
		return &tokenError{strconv.FormatUint(uint64(h.Ttl), 10), fmt.Sprintf("TTL %d: expected a number of seconds from 0 to 2147483647 (RFC 2181 §8)", h.Ttl)}
	case slices.Contains(impossible, h.Rrtype):
		return &tokenError{name, fmt.Sprintf("%s records are not possible in a profile; put the domain into a zone file", name)}
	case (h.Rrtype == dns.TypeSOA || h.Rrtype == dns.TypeNS) && !atBase:
		return &tokenError{name, fmt.Sprintf("%s records belong to the parked domain itself: owner @", name)}
	case spelled && !slices.Contains(spellable, h.Rrtype):
		return &tokenError{"{base}", fmt.Sprintf("{base} is not possible in %s records, but in NS, SOA, MX, PTR, SRV, TXT and CAA", name)}
	}
	return nil
}

// hasData tells whether something follows the type in a record, whose owner is
// cut off. The parser takes records without data, as updates have them (RFC
// 2136 §2.4).
func hasData(text string) bool {
	fields := strings.Fields(text)
	for i, f := range fields {
		_, known := dns.StringToType[strings.ToUpper(f)]
		if known || len(f) > 4 && strings.EqualFold(f[:4], "TYPE") {
			return i+1 < len(fields)
		}
	}
	return false
}

// spellable lists the types in which the builder finds {base}.
var spellable = []uint16{dns.TypeNS, dns.TypeSOA, dns.TypeMX, dns.TypePTR, dns.TypeSRV, dns.TypeTXT, dns.TypeCAA}

// impossible lists types that change what other names or types answer, or
// that exist in messages only.
var impossible = []uint16{dns.TypeCNAME, dns.TypeDNAME, dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNSEC3, dns.TypeNSEC3PARAM,
	dns.TypeDNSKEY, dns.TypeOPT, dns.TypeTSIG, dns.TypeTKEY, dns.TypeANY, dns.TypeAXFR, dns.TypeIXFR, dns.TypeNone}

// store puts a record into its set. Duplicates are kept once (RFC 2181 §5).
func (r *profileReader) store(e *entry, rr dns.RR, spelled bool) {
	rrtype := rr.Header().Rrtype
	i := slices.IndexFunc(r.sets, func(s *rrset) bool { return s.rrtype == rrtype && s.pattern.compare(&r.pattern) == 0 })
	if i < 0 {
		i = len(r.sets)
		r.sets = append(r.sets, &rrset{pattern: r.pattern, rrtype: rrtype, line: e.line})
	}
	s := r.sets[i]
	if len(s.rrs) > 0 && s.rrs[0].Header().Ttl != rr.Header().Ttl {
		r.fail(e.line, e.column, "TTL %d, but line %d gives records of the same owner and type %d; they must be the same (RFC 2181 §5.2)", rr.Header().Ttl, s.line, s.rrs[0].Header().Ttl)
		return
	}
	if slices.ContainsFunc(s.rrs, func(o dns.RR) bool { return dns.IsDuplicate(o, rr) }) {
		return
	}
	if rrtype == dns.TypeSOA && len(s.rrs) > 0 {
		r.fail(e.line, e.column, "a second SOA record; line %d has the first (RFC 1035 §5.2)", s.line)
		return
	}
	s.spelled = s.spelled || spelled
	s.rrs = append(s.rrs, rr)
}

// require checks that what every zone must have is there (RFC 1035 §5.2).
func (r *profileReader) require() {
	for _, t := range []uint16{dns.TypeSOA, dns.TypeNS} {
		if !slices.ContainsFunc(r.sets, func(s *rrset) bool { return s.rrtype == t }) {
			r.fail(1, 0, "no %s record with owner @; see the embedded profile for one", dns.Type(t))
		}
	}
}

// compile turns the sets into rules.
func (r *profileReader) compile() *profile {
	p := &profile{}
	for _, s := range r.sets {
		b := &builder{}
		err := r.build(b, s)
		if err == nil && b.largest() > maxRecordsBytes {
			err = fmt.Errorf("the %s records of this owner take up to %d bytes; more than %d do not fit into a message", dns.Type(s.rrtype), b.largest(), maxRecordsBytes)
		}
		if err != nil {
			r.fail(s.line, 0, "%s", err)
			continue
		}
		p.add(s.rrtype, rule{s.pattern, &b.records})
		if s.rrtype == dns.TypeSOA {
			p.soa = r.negative(s.rrs[0].(*dns.SOA))
		}
	}
	p.sort()
	return p
}

// build compiles one set, with the addresses that go with NS records.
func (r *profileReader) build(b *builder, s *rrset) error {
	if err := b.addAll(s.rrs, s.spelled); err != nil || s.rrtype != dns.TypeNS {
		return err
	}
	for _, rr := range s.rrs {
		if err := r.values.addAddresses(b, rr.(*dns.NS)); err != nil {
			return err
		}
	}
	return nil
}

// negative compiles the SOA record of negative answers: owned by the parked
// domain wherever the question is, its TTL as RFC 2308 §3 says.
func (r *profileReader) negative(soa *dns.SOA) *records {
	soa = dns.Copy(soa).(*dns.SOA)
	soa.Hdr.Ttl = min(soa.Hdr.Ttl, soa.Minttl)
	b := &builder{}
	if err := b.add(&b.ns, []byte{1, basePlaceholder, 0}, soa); err != nil {
		r.fail(0, 0, "%s", err)
	}
	return &b.records
}
