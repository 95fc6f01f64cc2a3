package resolver

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// signatureBytes is how long the fixed fields of an RRSIG record are (RFC 4034 §3.1).
const signatureBytes = 2 + 1 + 1 + 4 + 4 + 4 + 2

// completeSecurity is complete for the types of DNSSEC.
func completeSecurity(rrtype uint16, data []byte) bool {
	switch rrtype {
	case typeRRSIG:
		if len(data) < signatureBytes {
			return false
		}
		end := skipName(data, signatureBytes)
		return end > 0 && end < len(data) // the signature itself
	case typeNSEC:
		end := skipName(data, 0)
		return end > 0 && end <= len(data)
	case typeDNSKEY:
		return len(data) > 4
	case typeNSEC3PARAM:
		return len(data) >= 5 && len(data) == 5+int(data[4])
	case typeNSEC3:
		if len(data) < 5 {
			return false
		}
		at := 5 + int(data[4]) // behind the salt: the length of the next hash
		return len(data) > at && len(data) >= at+1+int(data[at])
	}
	return true
}

// signedAtCut tells whether records of a type are the zone's own where it
// delegates, and are signed there (RFC 4035 §2.2, §2.3).
func signedAtCut(rrtype uint16) bool { return rrtype == typeDS || rrtype == typeNSEC }

// signing checks a zone that came signed, and returns its chain; nil: it is
// unsigned.
func (c *zoneChecker) signing() *chain {
	any := c.anySigned()
	if any == nil {
		return nil
	}
	s := &signedChecker{zoneChecker: c, chain: &chain{}, keys: c.keys()}
	if len(s.keys) == 0 {
		c.fail(any, "the zone is signed, but has no DNSKEY record for a zone key; have the keys put in where it is signed (RFC 4035 §2.1)")
		return nil // every signature would be a mistake
	}
	for _, o := range c.order {
		s.sets(o)
	}
	s.denials()
	return s.chain
}

// anySigned is a record that only a signed zone has; nil: there is none.
func (c *zoneChecker) anySigned() *zoneRecord {
	for _, o := range c.order {
		for i := range o.records {
			switch o.records[i].rrtype {
			case typeRRSIG, typeNSEC, typeNSEC3PARAM:
				return &o.records[i]
			}
		}
	}
	if len(c.r.hashed) > 0 {
		return &c.r.hashed[0]
	}
	return nil
}

// signedChecker finds the mistakes of a signed zone.
type signedChecker struct {
	*zoneChecker
	chain *chain
	keys  map[keyID]*zoneRecord
}

// keyID is what a signature says of the key that made it.
type keyID struct {
	tag       uint16
	algorithm uint8
}

// zoneKey is the flag of keys that sign zones (RFC 4034 §2.1.1).
const zoneKey = 0x0100

// keys are the keys of the zone.
func (c *zoneChecker) keys() map[keyID]*zoneRecord {
	keys := map[keyID]*zoneRecord{}
	apex := c.names[c.r.apex]
	if apex == nil {
		return keys
	}
	for i := range apex.records {
		if rec := &apex.records[i]; rec.rrtype == typeDNSKEY && binary.BigEndian.Uint16(rec.data)&zoneKey != 0 {
			keys[keyID{keyTag(rec.data), rec.data[3]}] = rec
		}
	}
	return keys
}

// keyTag is that of a DNSKEY record (RFC 4034, appendix B).
func keyTag(data []byte) uint16 {
	var sum uint32
	for i, b := range data {
		sum += uint32(b) << (8 * (1 - i&1))
	}
	return uint16(sum + sum>>16&0xffff)
}

// sets checks that each set of o that must be signed is, and that each signature
// has something that it signs. What signs a set stands directly behind it.
func (s *signedChecker) sets(o *zoneOwner) {
	before := 0 // where the set in front begins
	for from := 0; from < len(o.records); {
		to := from + 1
		for to < len(o.records) && o.records[to].sameSet(&o.records[from]) {
			to++
		}
		rec := &o.records[from]
		must := o.cut == nil || o == o.cut && signedAtCut(rec.rrtype)
		switch {
		case rec.rrtype == typeRRSIG:
			s.signatures(o, o.records[before:from], o.records[from:to])
		case must && (to == len(o.records) || o.records[to].covers() != rec.rrtype):
			s.fail(rec, "the %s records of %s have no signature, and the zone is signed; sign it again (RFC 4035 §2.2)", dns.Type(rec.rrtype), text(o.name))
		}
		before, from = from, to
	}
}

// signatures checks what signs one set of o; set is what stands in front.
func (s *signedChecker) signatures(o *zoneOwner, set, signatures []zoneRecord) {
	first := &signatures[0]
	covers := dns.Type(first.covers())
	if len(set) == 0 || set[0].rrtype != first.covers() {
		s.fail(first, "an RRSIG record for the %s records of %s, which has none; sign the zone again (RFC 4035 §2.2)", covers, text(o.name))
		return
	}
	known, ttl := false, set[0].ttl
	for i := range signatures {
		rec := &signatures[i]
		if rec.ttl != ttl && i == 0 {
			s.fail(rec, "TTL %d, but the %s records of %s that it signs have TTL %d; they must be the same (RFC 4034 §3)", rec.ttl, covers, text(o.name), ttl)
		}
		if problem := s.signature(o, rec); problem != "" {
			s.fail(rec, "the RRSIG record for the %s records of %s %s", covers, text(o.name), problem)
		}
		known = known || s.keys[madeBy(rec)] != nil
		s.times(rec)
	}
	if !known {
		id := madeBy(first)
		s.fail(first, "the %s records of %s are signed with key %d of algorithm %d, which is not among the zone's DNSKEY records; sign it again", covers, text(o.name), id.tag, id.algorithm)
	}
	s.verify(o, set, signatures)
}

// madeBy is the key that made a signature.
func madeBy(rec *zoneRecord) keyID {
	return keyID{binary.BigEndian.Uint16(rec.data[16:]), rec.data[2]}
}

// signature is what is wrong with one RRSIG record of o by itself (RFC 4034 §3.1).
func (s *signedChecker) signature(o *zoneOwner, rec *zoneRecord) string {
	labels := 0
	for name := strings.TrimPrefix(o.name, "\x01*"); name[0] != 0; name = name[1+name[0]:] {
		labels++
	}
	signer := string(foldedBytes(rec.data[signatureBytes:skipName(rec.data, signatureBytes)]))
	switch original := binary.BigEndian.Uint32(rec.data[4:]); {
	case signer != s.r.apex:
		return fmt.Sprintf("names %s as the signer, not the zone %s", text(signer), s.r.name)
	case int(rec.data[3]) != labels:
		return fmt.Sprintf("is for %d labels, but the name has %d", rec.data[3], labels)
	case original < rec.ttl:
		return fmt.Sprintf("has TTL %d, more than the %d that was signed; sign the zone again after a change of TTL", rec.ttl, original)
	}
	return ""
}

// times notes when a signature expires and begins.
func (s *signedChecker) times(rec *zoneRecord) {
	expires, begins := binary.BigEndian.Uint32(rec.data[8:]), binary.BigEndian.Uint32(rec.data[12:])
	z := &s.chain.Signed
	if z.ExpiresAt == "" || Before(expires, z.Expires) {
		z.Expires, z.ExpiresAt = expires, s.place(rec)
	}
	if z.BeginsAt == "" || Before(z.Begins, begins) {
		z.Begins, z.BeginsAt = begins, s.place(rec)
	}
}

func (s *signedChecker) place(rec *zoneRecord) string {
	return fmt.Sprintf("%s:%d", s.r.files[rec.file], rec.line)
}
