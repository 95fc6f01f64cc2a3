package resolver

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"runtime"
	"slices"

	"github.com/miekg/dns"
)

// denials checks the chain of NSEC or NSEC3 records, and makes it.
func (s *signedChecker) denials() {
	apex := s.names[s.r.apex]
	param := apex.first(typeNSEC3PARAM)
	switch nsec := apex.first(typeNSEC); {
	case param == nil && len(s.r.hashed) > 0:
		s.fail(&s.r.hashed[0], "an NSEC3 record, but %s has no NSEC3PARAM record; sign the zone again (RFC 5155 §4)", s.r.name)
	case param != nil && nsec != nil:
		s.fail(nsec, "both NSEC and NSEC3PARAM records for %s: sign the zone with one of the two (RFC 5155 §7.1)", s.r.name)
	case param != nil:
		s.chain.Hashed = true
		s.hashes(apex, param)
	default:
		s.nsec()
	}
}

// own lists the names that the zone speaks for: not those of glue.
func (s *signedChecker) own() (names []*zoneOwner) {
	for _, o := range s.order {
		if o.cut == nil || o.cut == o {
			names = append(names, o)
		}
	}
	return names
}

// nsec checks a chain of NSEC records (RFC 4034 §4): each name has one, which
// tells the next name in canonical order and the types that there are.
func (s *signedChecker) nsec() {
	type keyed struct {
		key []byte
		*zoneOwner
	}
	var names []keyed
	for _, o := range s.own() {
		names = append(names, keyed{appendKey(nil, []byte(o.name[:len(o.name)-len(s.r.apex)])), o})
	}
	slices.SortFunc(names, func(a, b keyed) int { return bytes.Compare(a.key, b.key) })
	for i, o := range names {
		s.chain.names = append(s.chain.names, o.zoneOwner)
		nsec := o.first(typeNSEC)
		if nsec == nil {
			s.fail(&o.records[0], "%s has no NSEC record, and the zone is signed; sign it again (RFC 4035 §2.3)", text(o.name))
			continue
		}
		end := skipName(nsec.data, 0)
		next, following := string(foldedBytes(nsec.data[:end])), names[(i+1)%len(names)].name
		if next != following {
			s.fail(nsec, "the NSEC record of %s names %s as the next name, but that is %s; sign the zone again", text(o.name), text(next), text(following))
		}
		s.one(nsec, o.zoneOwner)
		s.types(nsec, o.zoneOwner, nsec.data[end:])
	}
}

// one checks that rec is the only record of its type that o has.
func (s *signedChecker) one(rec *zoneRecord, o *zoneOwner) {
	for i := range o.records {
		if other := &o.records[i]; other.rrtype == rec.rrtype && other != rec {
			s.fail(other, "a second %s record for %s; line %d has the first, and there can be but one", dns.Type(rec.rrtype), text(o.name), rec.line)
		}
	}
}

// types checks the types that denial, an NSEC or NSEC3 record, says that o has.
func (s *signedChecker) types(denial *zoneRecord, o *zoneOwner, bitmap []byte) {
	var have []uint16
	if o != nil {
		for i := range o.records {
			t := o.records[i].rrtype
			glue := o.cut != nil && t != typeNS && t != typeRRSIG && !signedAtCut(t)
			if !glue && !slices.Contains(have, t) {
				have = append(have, t)
			}
		}
	}
	slices.Sort(have)
	if want := appendBitmap(nil, have); !bytes.Equal(want, bitmap) {
		name := "a name without records"
		if o != nil {
			name = text(o.name)
		}
		s.fail(denial, "the %s record of %s tells of other types than there are; sign the zone again (RFC 4034 §4.1.2)", dns.Type(denial.rrtype), name)
	}
}

// appendBitmap appends types, sorted, as NSEC records have them (RFC 4034 §4.1.2).
func appendBitmap(dst []byte, types []uint16) []byte {
	for i := 0; i < len(types); {
		window := types[i] >> 8
		var bits [32]byte
		used := 0
		for ; i < len(types) && types[i]>>8 == window; i++ {
			at := int(types[i] & 0xff / 8)
			bits[at] |= 0x80 >> (types[i] & 7)
			used = at + 1
		}
		dst = append(dst, byte(window), byte(used))
		dst = append(dst, bits[:used]...)
	}
	return dst
}

const (
	optOut        = 1 // RFC 5155 §3.1.2.1
	hashAlgorithm = 1 // SHA-1, RFC 5155 §11
)

// hashes checks a chain of NSEC3 records (RFC 5155 §7.1).
func (s *signedChecker) hashes(apex *zoneOwner, param *zoneRecord) {
	s.one(param, apex)
	iterations := binary.BigEndian.Uint16(param.data[2:])
	s.chain.iterations, s.chain.salt, s.chain.Iterations = iterations, param.data[5:], int(iterations)
	switch {
	case param.data[0] != hashAlgorithm:
		s.fail(param, "NSEC3 with hash algorithm %d, which is not known; 1 is (RFC 5155 §11)", param.data[0])
		return
	case iterations > maxIterations:
		s.fail(param, "NSEC3 with %d iterations, more than the %d that are done here; sign the zone with 0 (RFC 9276 §3.1)", iterations, maxIterations)
		return
	}
	if !s.hashOwners(param) || len(s.chain.hashes) == 0 {
		return
	}
	for i, h := range s.chain.hashes {
		next := s.chain.hashes[(i+1)%len(s.chain.hashes)].hash
		if rec := h.first(typeNSEC3); !bytes.Equal(hashField(rec), next) {
			s.fail(rec, "the NSEC3 record of %s does not name the next hash in the zone; sign it again", text(h.name))
		}
		s.sets(h.zoneOwner)
	}
	s.hashedNames()
}

// hashOwners lists the owners of NSEC3 records, in order, and tells whether all
// of them can be in one chain.
func (s *signedChecker) hashOwners(param *zoneRecord) (good bool) {
	good = true
	wrong := func(rec *zoneRecord, format string, args ...any) {
		s.fail(rec, format, args...)
		good = false
	}
	hashed := s.r.hashed
	if len(hashed) == 0 {
		wrong(param, "an NSEC3PARAM record, but no NSEC3 records; sign the zone again")
	}
	for len(hashed) > 0 {
		n := 1
		for n < len(hashed) && hashed[n].owner == hashed[0].owner {
			n++
		}
		o := &zoneOwner{name: hashed[0].owner, records: hashed[:n:n]}
		hashed = hashed[n:]
		rec := o.first(typeNSEC3)
		hash, err := hashEncoding.DecodeString(o.name[1 : 1+o.name[0]])
		switch {
		case err != nil || len(hash) != hashBytes || o.name[1+hashLabelBytes:] != s.r.apex:
			wrong(&o.records[0], "%s is no hash of a name in %s; sign the zone again (RFC 5155 §3)", text(o.name), s.r.name)
			continue
		case rec == nil:
			wrong(&o.records[0], "an RRSIG record for the NSEC3 records of %s, which has none; sign the zone again (RFC 4035 §2.2)", text(o.name))
			continue
		case rec.data[0] != param.data[0] || !bytes.Equal(rec.data[2:5+int(rec.data[4])], param.data[2:]):
			wrong(rec, "the NSEC3 record of %s has another algorithm, salt or number of iterations than line %d, the NSEC3PARAM record; sign the zone again", text(o.name), param.line)
		case len(hashField(rec)) != hashBytes:
			wrong(rec, "the NSEC3 record of %s names a next hash of %d bytes; it has %d (RFC 5155 §3.1.6)", text(o.name), len(hashField(rec)), hashBytes)
		}
		s.one(rec, o)
		s.chain.hashes = append(s.chain.hashes, hashOwner{hash, o})
	}
	slices.SortFunc(s.chain.hashes, func(a, b hashOwner) int { return bytes.Compare(a.hash, b.hash) })
	return good
}

// hashField is the next hash of an NSEC3 record.
func hashField(rec *zoneRecord) []byte {
	at := 5 + int(rec.data[4])
	return rec.data[at+1:][:rec.data[at]]
}

// hashedNames checks that each name, also one without records, has its NSEC3
// record, and that there are no others.
func (s *signedChecker) hashedNames() {
	z := signedZone{salt: s.chain.salt, iterations: s.chain.iterations}
	used := make([]bool, len(s.chain.hashes))
	for i, n := range s.namesToHash() {
		if i%giveWayEvery == giveWayEvery-1 {
			runtime.Gosched()
		}
		hash := z.hash([]byte(n.name))
		at, found := slices.BinarySearchFunc(s.chain.hashes, hash[:], func(h hashOwner, hash []byte) int { return bytes.Compare(h.hash, hash) })
		if !found {
			covering := s.chain.hashes[cmp.Or(at, len(s.chain.hashes))-1].first(typeNSEC3)
			if !n.optional || covering.data[1]&optOut == 0 {
				s.fail(n.at, "%s has no NSEC3 record, and the zone is signed; sign it again (RFC 5155 §7.1)", text(n.name))
			}
			continue
		}
		used[at] = true
		rec := s.chain.hashes[at].first(typeNSEC3)
		s.types(rec, n.owner, rec.data[5+int(rec.data[4])+1+hashBytes:])
	}
	for i, u := range used {
		if rec := s.chain.hashes[i].first(typeNSEC3); !u {
			s.fail(rec, "the NSEC3 record of %s is for no name that the zone has; sign it again", text(s.chain.hashes[i].name))
		}
	}
}

// hashedName is a name that has an NSEC3 record.
type hashedName struct {
	name     string
	owner    *zoneOwner // nil: it has no records
	at       *zoneRecord
	optional bool // a delegation without DS, or above such ones alone: Opt-Out may leave it out
}

// namesToHash lists the names that have NSEC3 records.
func (s *signedChecker) namesToHash() (list []hashedName) {
	empty := map[string]int{} // names without records: where in list
	for _, o := range s.own() {
		optional := o == o.cut && o.first(typeDS) == nil
		list = append(list, hashedName{o.name, o, &o.records[0], optional})
		for name := o.name; name != s.r.apex; {
			if name = name[1+name[0]:]; s.names[name] != nil {
				continue
			}
			if i, ok := empty[name]; ok {
				list[i].optional = list[i].optional && optional
				continue
			}
			empty[name] = len(list)
			list = append(list, hashedName{name, nil, &o.records[0], optional})
		}
	}
	return list
}
