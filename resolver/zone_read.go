package resolver

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// zoneRecord is one record of a zone as it was read.
type zoneRecord struct {
	owner  string // wire format, lower case
	rrtype uint16
	ttl    uint32
	data   []byte // wire format, names uncompressed
	file   int    // which of the reader's files it stands in
	line   int
}

// zoneReader reads one zone and collects its mistakes.
type zoneReader struct {
	include func(file string) (Source, error)
	apex    string // wire format, lower case
	name    string // presentation format, with the final dot
	files   []string
	records []zoneRecord
	errs    []*Error
	buf     []byte // scratch for data in wire format
}

// zoneFile is one file while it is read.
type zoneFile struct {
	number int
	depth  int    // of $INCLUDE directives around it
	origin string // presentation format, with the final dot
	owner  string // of the last record, the same; empty: none yet
	ttl    uint32 // of records that have none
	fixed  bool   // ttl is that of a $TTL directive; else that of the last record (RFC 1035 §5.1)
}

const (
	maxTTL = 1<<31 - 1 // RFC 2181 §8
	noTTL  = 1<<32 - 1 // no record had one yet

	// maxIncludes is how deep files may include one another: enough for any
	// purpose, and the end of a file that includes itself.
	maxIncludes = 8
)

// readZone reads the records of z. They are sorted by owner and type, SOA and
// NS first, and none is there twice.
func readZone(z *Zone, apex []byte, include func(string) (Source, error), buf []byte) *zoneReader {
	r := &zoneReader{include: include, apex: string(apex), name: string(appendText(nil, apex)) + ".", buf: buf}
	r.read(z.Source, zoneFile{origin: r.name, ttl: noTTL})
	slices.SortStableFunc(r.records, func(a, b zoneRecord) int {
		return cmp.Or(cmp.Compare(a.owner, b.owner), cmp.Compare(rank(a.rrtype), rank(b.rrtype)))
	})
	r.records = withoutDuplicates(r.records)
	return r
}

// rank sorts types.
func rank(rrtype uint16) int {
	switch rrtype {
	case typeSOA:
		return -2
	case typeNS:
		return -1
	}
	return int(rrtype)
}

func (r *zoneReader) fail(file, line, column int, format string, args ...any) {
	r.errs = append(r.errs, &Error{File: r.files[file], Line: line, Column: column, Reason: fmt.Sprintf(format, args...)})
}

// read reads a file, beginning as f says.
func (r *zoneReader) read(source Source, f zoneFile) {
	f.number = len(r.files)
	r.files = append(r.files, source.Name)
	entries, line, reason := splitEntries(string(source.Text))
	for i := range entries {
		if e := &entries[i]; strings.HasPrefix(e.owner, "$") {
			r.directive(&f, e)
		} else {
			r.record(&f, e)
		}
	}
	if reason != "" {
		r.fail(f.number, line, 0, "%s", reason)
	}
}

func (r *zoneReader) directive(f *zoneFile, e *entry) {
	fields := strings.Fields(e.rest)
	wrong := func(format string, args ...any) { r.fail(f.number, e.line, e.column, format, args...) }
	switch strings.ToUpper(e.owner) {
	case "$TTL":
		// The parser of records knows how people write a TTL: 1h30m.
		rr, err := dns.NewRR(". " + strings.Join(fields, " ") + " A 192.0.2.1")
		if len(fields) != 1 || err != nil || rr == nil || rr.Header().Ttl > maxTTL {
			wrong("$TTL%s: expected a time from 0 to 2147483647 seconds, as 3600 or 1h (RFC 2308 §4)", e.rest)
			return
		}
		f.ttl, f.fixed = rr.Header().Ttl, true
	case "$ORIGIN":
		if len(fields) != 1 {
			wrong("$ORIGIN%s: expected one name", e.rest)
			return
		}
		if origin, ok := r.absolute(f, e, fields[0]); ok {
			f.origin = origin
		}
	case "$INCLUDE":
		r.included(f, e, fields)
	default:
		wrong("%s is not known; $ORIGIN, $TTL and $INCLUDE are (RFC 1035 §5.1, RFC 2308 §4)", e.owner)
	}
}

// absolute makes a name of a directive absolute.
func (r *zoneReader) absolute(f *zoneFile, e *entry, text string) (string, bool) {
	switch {
	case text == "@":
		return f.origin, true
	case !dns.IsFqdn(text):
		text += "." + strings.TrimPrefix(f.origin, ".")
	}
	if _, err := wireName(text); err != nil {
		r.fail(f.number, e.line, e.column, "%s: %s", e.owner, err)
		return "", false
	}
	return text, true
}

// included reads the file of an $INCLUDE directive. What it says of origin,
// owner and TTL ends with it.
func (r *zoneReader) included(f *zoneFile, e *entry, fields []string) {
	wrong := func(format string, args ...any) { r.fail(f.number, e.line, e.column, format, args...) }
	if len(fields) < 1 || len(fields) > 2 {
		wrong("$INCLUDE%s: expected a file and, if it is another one, its origin", e.rest)
		return
	}
	inner := *f
	inner.depth++
	if len(fields) == 2 {
		var ok bool
		if inner.origin, ok = r.absolute(f, e, fields[1]); !ok {
			return
		}
	}
	file := strings.Trim(fields[0], `"`)
	switch {
	case r.include == nil:
		wrong("$INCLUDE is not possible here")
		return
	case inner.depth > maxIncludes:
		wrong("$INCLUDE %s: more than %d files deep; does a file include itself?", file, maxIncludes)
		return
	}
	source, err := r.include(file)
	if err != nil {
		wrong("$INCLUDE %s: %s", file, err)
		return
	}
	r.read(source, inner)
}

// record reads one record.
func (r *zoneReader) record(f *zoneFile, e *entry) {
	wrong := func(column int, format string, args ...any) { r.fail(f.number, e.line, column, format, args...) }
	owner := e.owner
	if owner == "" {
		owner = f.owner
	}
	if owner == "" {
		wrong(e.column, "a record without an owner; write a name such as @ at the start of the line")
		return
	}
	zp := dns.NewZoneParser(strings.NewReader(owner+" "+e.rest+"\n"), f.origin, "")
	zp.SetDefaultTTL(f.ttl)
	rr, ok := zp.Next()
	if !ok {
		reason, column := parseReason(e, zp.Err())
		wrong(column, "%s", reason)
		return
	}
	h := rr.Header()
	f.owner = h.Name
	if err := r.check(h, e); err != nil {
		wrong(columnOf(e, err), "%s", err)
		return
	}
	if !f.fixed {
		f.ttl = h.Ttl
	}
	rec := zoneRecord{rrtype: h.Rrtype, ttl: h.Ttl, file: f.number, line: e.line}
	var err error
	if rec.owner, err = r.owner(h.Name); err == nil {
		rec.data, err = r.pack(rr, e)
	}
	if err != nil {
		wrong(e.column, "%s", err)
		return
	}
	r.records = append(r.records, rec)
}

// owner turns the name of a record into wire format.
func (r *zoneReader) owner(text string) (string, error) {
	wire, err := appendName(r.buf[:0], text)
	if err != nil {
		return "", err
	}
	if n := len(r.records); n > 0 && r.records[n-1].owner == string(wire) {
		return r.records[n-1].owner, nil
	}
	if !within(string(wire), r.apex) {
		return "", fmt.Errorf("%s does not lie in the zone %s", text, r.name)
	}
	return string(wire), nil
}

// within tells whether name is parent or lies below.
func within(name, parent string) bool {
	for len(name) >= len(parent) {
		if name == parent {
			return true
		}
		if name[0] == 0 {
			return false
		}
		name = name[1+name[0]:]
	}
	return false
}

// pack returns the data of rr in wire format.
func (r *zoneReader) pack(rr dns.RR, e *entry) ([]byte, error) {
	name := dns.Type(rr.Header().Rrtype).String()
	rr.Header().Name = "."
	n, err := dns.PackRR(rr, r.buf, 0, nil, false)
	if err != nil {
		return nil, fmt.Errorf("%s record can't be written in wire format: %w", name, err)
	}
	const head = 1 + 10 // the root and the fixed fields
	length, generic := genericLength(e.rest, rr.Header().Rrtype)
	switch {
	case generic && length != n-head:
		return nil, fmt.Errorf("%d bytes can't be the data of type %s", length, name)
	case n == head && !generic:
		// The parser takes records without data, as updates have them (RFC 2136 §2.4).
		return nil, fmt.Errorf("%s record without data; a record is written: owner [TTL] TYPE data", name)
	case n == head && !slices.Contains(emptyTypes, rr.Header().Rrtype) && dns.TypeToRR[rr.Header().Rrtype] != nil:
		return nil, fmt.Errorf("0 bytes can't be the data of type %s", name)
	case !complete(rr.Header().Rrtype, r.buf[head:n]):
		return nil, fmt.Errorf("%s record with a name that is not complete", name)
	}
	return bytes.Clone(r.buf[head:n]), nil
}

// complete tells whether the names are there that answers look for in data of
// type rrtype: the parser takes some generic forms (RFC 3597 §5) without them.
func complete(rrtype uint16, data []byte) bool {
	first, names := 0, 1
	switch rrtype {
	case typeNS, typeCNAME, typePTR, typeDNAME:
	case typeMX, typeSVCB, typeHTTPS:
		first = 2
	case typeSRV:
		first = 6
	case typeSOA:
		names = 2
	default:
		return true
	}
	for range names {
		if first >= len(data) {
			return false
		}
		if first = skipName(data, first); first < 0 {
			return false
		}
	}
	return rrtype != typeSOA || len(data) == first+5*4
}

// genericLength is the length that a record in the form of RFC 3597 §5 says it
// has: behind the type stand \# and a number.
func genericLength(text string, rrtype uint16) (length int, generic bool) {
	fields := strings.Fields(text)
	for i := 1; i+1 < len(fields) && i <= 3; i++ {
		isType := strings.EqualFold(fields[i-1], dns.Type(rrtype).String()) || strings.EqualFold(fields[i-1], fmt.Sprintf("TYPE%d", rrtype))
		if fields[i] == `\#` && isType {
			length, err := strconv.Atoi(fields[i+1])
			return length, err == nil
		}
	}
	return 0, false
}

// check refuses records that no zone can have.
func (r *zoneReader) check(h *dns.RR_Header, e *entry) error {
	name := dns.Type(h.Rrtype).String()
	switch {
	case h.Class != dns.ClassINET:
		return &tokenError{dns.Class(h.Class).String(), fmt.Sprintf("class %s: a zone has class IN alone", dns.Class(h.Class))}
	case h.Ttl == noTTL:
		return errors.New("no TTL, and none to take over; begin the file with $TTL 3600")
	case h.Ttl > maxTTL:
		return fmt.Errorf("TTL %d: expected a number of seconds from 0 to 2147483647 (RFC 2181 §8)", h.Ttl)
	case slices.Contains(signatures, h.Rrtype):
		return &tokenError{name, fmt.Sprintf("%s records: signed zones are not supported; give the unsigned zone, and no DS record to its parent", name)}
	case slices.Contains(metaTypes, h.Rrtype) || h.Rrtype >= 128 && h.Rrtype <= 255:
		return &tokenError{name, fmt.Sprintf("%s is a type of messages, not of records (RFC 6895 §3.1)", name)}
	case slices.Contains(textTypes, h.Rrtype):
		if n := longestString(e.rest); n > maxStringBytes {
			return fmt.Errorf("a text of %d bytes, more than the %d of one string (RFC 1035 §3.3); divide it into several quoted ones", n, maxStringBytes)
		}
	}
	return nil
}

var (
	// signatures lists what a signed zone has and an unsigned one has not.
	// Whoever serves them owes proofs of what does not exist (RFC 4035 §3.1.3).
	signatures = []uint16{dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNSEC3, dns.TypeNSEC3PARAM}

	// emptyTypes lists types that may have no data (RFC 3123 §4, RFC 1035 §3.3.10).
	emptyTypes = []uint16{dns.TypeAPL, dns.TypeNULL}

	metaTypes = []uint16{dns.TypeNone, dns.TypeOPT}

	// textTypes lists types of strings that the parser would divide by itself.
	textTypes = []uint16{dns.TypeTXT, dns.TypeSPF, dns.TypeAVC, dns.TypeNINFO, dns.TypeRESINFO}
)

// longestString is the length of the longest string in a record, in bytes.
func longestString(text string) (longest int) {
	n, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+3 < len(text) && text[i+1] >= '0' && text[i+1] <= '9':
			i += 3
			n++
		case c == '\\':
			i++
			n++
		case c == '"':
			quoted = !quoted
			n = 0
		case !quoted && (c == ' ' || c == '\t'):
			n = 0
		default:
			n++
		}
		longest = max(longest, n)
	}
	return longest
}

// withoutDuplicates keeps the first of several equal records (RFC 2181 §5).
// records are sorted.
func withoutDuplicates(records []zoneRecord) []zoneRecord {
	kept := records[:0]
	set := 0 // where in kept the set at hand begins
	var seen map[string]bool
	for _, rec := range records {
		if set == len(kept) || kept[set].owner != rec.owner || kept[set].rrtype != rec.rrtype {
			set, seen = len(kept), nil
		} else {
			if seen == nil {
				seen = map[string]bool{kept[set].identity(): true}
			}
			if id := rec.identity(); seen[id] {
				continue
			} else {
				seen[id] = true
			}
		}
		kept = append(kept, rec)
	}
	return kept
}

// identity is the same for records of a set that are duplicates: the TTL and
// the data, the case of names aside.
func (r *zoneRecord) identity() string {
	data := r.data
	switch r.rrtype {
	case typeNS, typeCNAME, typePTR, typeMX, typeSRV, typeDNAME, typeSOA:
		data = foldedBytes(data)
	}
	return string(binary.BigEndian.AppendUint32(nil, r.ttl)) + string(data)
}

// foldedBytes is data in lower case, byte by byte: bytes.ToLower knows UTF-8.
func foldedBytes(data []byte) []byte {
	out := bytes.Clone(data)
	for i, c := range out {
		out[i] = lower(c)
	}
	return out
}
