package resolver

import "encoding/binary"

// Signed says what is known of the signatures of a zone. The times are those of
// RFC 4034 §3.1.5: seconds since 1970, modulo 2^32.
type Signed struct {
	Expires   uint32 // when the first of all signatures expires
	ExpiresAt string // which one that is, as "file:line"
	Begins    uint32 // when the last of all begins to be valid
	BeginsAt  string

	Iterations int  // of NSEC3, above those that everybody does
	Hashed     bool // NSEC3 and not NSEC
	Verified   int  // how many signatures were verified; see Config.Verify
}

// Before tells whether time a is before b, both modulo 2^32 (RFC 1982 §3.2).
func Before(a, b uint32) bool { return int32(a-b) < 0 }

// chain is the chain of denials of a signed zone, and what is known of its
// signatures.
type chain struct {
	Signed
	salt       []byte
	iterations uint16
	names      []*zoneOwner // with NSEC records, in canonical order
	hashes     []hashOwner  // or those with NSEC3 records, in the order of hashes
}

// hashOwner is the owner of an NSEC3 record.
type hashOwner struct {
	hash []byte
	*zoneOwner
}

// beginChain makes a signed zone of z in the snapshot. It returns which it is, 1
// for the first; 0: it is unsigned.
func (l *zoneLoader) beginChain(z *loaded) uint32 {
	if z.chain == nil {
		return 0
	}
	l.signed[z.number] = &z.chain.Signed
	if z.chain.Hashed && l.s.hashes == nil {
		l.s.hashes = new(hashMemo)
	}
	l.s.signed = append(l.s.signed, signedZone{
		apex:       z.apex,
		links:      make([]uint32, 0, len(z.chain.names)+len(z.chain.hashes)),
		hashed:     z.chain.Hashed,
		salt:       z.chain.salt,
		iterations: z.chain.iterations,
	})
	return uint32(len(l.s.signed))
}

// addChain puts the links of z into the snapshot, when all its names are there.
func (l *zoneLoader) addChain(z *loaded, signing uint32) error {
	if z.chain == nil {
		return nil
	}
	links := &l.s.signed[signing-1].links
	for _, o := range z.chain.names {
		key := appendKey(nil, []byte(o.name[:len(o.name)-len(z.apex)]))
		l.beginLink(links, signing)
		l.s.zoneData = binary.BigEndian.AppendUint32(l.s.zoneData, o.at)
		l.s.zoneData = binary.BigEndian.AppendUint16(l.s.zoneData, uint16(len(key)))
		l.s.zoneData = append(l.s.zoneData, key...)
	}
	for _, o := range z.chain.hashes {
		l.beginLink(links, signing)
		l.s.zoneData = append(l.s.zoneData, o.hash...)
		l.count(z.number, o.zoneOwner)
		if _, err := l.appendOwner(o.zoneOwner); err != nil {
			return err
		}
	}
	if uint64(len(l.s.zoneData)) > 1<<32-1 {
		return errTooMuchZoneData
	}
	return nil
}

func (l *zoneLoader) beginLink(links *[]uint32, signing uint32) {
	*links = append(*links, uint32(len(l.s.zoneData)))
	l.s.zoneData = binary.BigEndian.AppendUint32(l.s.zoneData, signing)
}
