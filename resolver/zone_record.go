package resolver

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

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
	case !completeSecurity(rr.Header().Rrtype, r.buf[head:n]):
		return nil, fmt.Errorf("%s record with data that is not complete", name)
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
