package resolver

import (
	"encoding/binary"

	"domainpark/query"
)

// spot is where in an operator's zone a name lies; the zero value: in none.
// Each int is a label of the name, counted from its first, at which something
// begins; -1: there is none.
type spot struct {
	in      bool
	id      nodeID // of closest: each name that exists has one, with records or without
	apex    int    // the zone
	cut     int    // the delegation, if the name is that or lies below
	alias   int    // the DNAME record's owner, if the name is that or lies below
	reports int    // what authorises DMARC reports, if the name is that or lies below
	closest int    // the closest encloser: the longest part of the name that exists (RFC 4592 §3.3.1)

	apexNode, cutNode, aliasNode, node uint32 // where in zoneData; node is that of closest
}

// enter notes what is known of the name's part that begins at label i. It is
// called from the right to the left.
func (p *spot) enter(i int, n *slot) {
	switch {
	case n.flags&zoneApex != 0:
		*p = spot{in: true, apex: i, apexNode: n.value, cut: -1, alias: -1, reports: -1, closest: -1}
	case !p.in:
		return
	case n.flags&zoneCut != 0 && p.cut < 0:
		p.cut, p.cutNode = i, n.value
	}
	if n.flags&zoneName != 0 {
		p.closest, p.id, p.node = i, n.id, n.value
	}
	if n.flags&zoneAlias != 0 && p.alias < 0 {
		p.alias, p.aliasNode = i, n.value
	}
	if n.flags&reports != 0 {
		p.reports = i
	}
}

// spotOf finds out where of lies, without regard to its first labels.
func (s *snapshot) spotOf(of name, without int) spot {
	var p spot
	parent := root
	for i := len(of.at) - 1; i >= without; i-- {
		n := s.domains.child(parent, of.wire[of.at[i]:])
		if n == nil {
			break
		}
		if n.flags&inZone != 0 {
			p.enter(i, n)
		}
		if n.flags&inner == 0 {
			break
		}
		parent = n.id
	}
	return p
}

// wildcard finds the wildcard that stands for names whose closest encloser is
// given: the one next to that (RFC 4592 §3.3.1).
func (s *snapshot) wildcard(encloser []byte) (node uint32, ok bool) {
	if 2+len(encloser) > query.MaxNameBytes {
		return 0, false
	}
	var buf [query.MaxNameBytes + 1]byte
	n := s.domains.find(append(append(buf[:0], 1, '*'), encloser...))
	if n == nil || n.flags&(zoneName|zoneApex) != zoneName {
		return 0, false
	}
	return n.value, true
}

// zoneData holds the records of all names in zones, one name after another:
//
//	uint16  how many sets there are
//
// and each set, SOA and NS before the others, and directly behind each what
// signs it:
//
//	uint16  type
//	uint32  TTL, seconds
//	uint16  how many records there are
//	uint32  how many bytes they take
//
// and each record: uint16 length and data, in wire format without compression.
// Position 0 stands for no records. In front of a zone's apex stand:
//
//	uint32  where the records are that the zone above has for this name, its
//	        delegation; 0: there are none
//	uint32  which of the snapshot's signed zones it is, 1 for the first; 0: none
type zoneData []byte

const (
	apexHeadBytes = 4 + 4
	nodeHeadBytes = 2
	setHeadBytes  = 2 + 4 + 2 + 4
)

// zoneSet is a set of records in zoneData.
type zoneSet struct {
	rrtype uint16
	count  uint16
	ttl    uint32
	signed uint32 // where in zoneData the set is that signs it; 0: there is none
	data   []byte // nil: there is no such set
}

// above is where the delegation of an apex is.
func (z zoneData) above(node uint32) uint32 {
	if node == 0 {
		return 0
	}
	return binary.BigEndian.Uint32(z[node-apexHeadBytes:])
}

// signing is which of the signed zones the one with its apex at node is, 1 for
// the first; 0: it is unsigned.
func (z zoneData) signing(node uint32) uint32 { return binary.BigEndian.Uint32(z[node-4:]) }

// set returns the set of type rrtype at node.
func (z zoneData) set(node uint32, rrtype uint16) zoneSet {
	if node == 0 {
		return zoneSet{}
	}
	at := int(node) + nodeHeadBytes
	for left := binary.BigEndian.Uint16(z[node:]); left > 0; left-- {
		after := at + setHeadBytes + int(binary.BigEndian.Uint32(z[at+8:]))
		if binary.BigEndian.Uint16(z[at:]) == rrtype {
			s := z.setAt(at)
			if left > 1 && binary.BigEndian.Uint16(z[after:]) == typeRRSIG {
				s.signed = uint32(after)
			}
			return s
		}
		at = after
	}
	return zoneSet{}
}

// setAt is the set that begins at at, without what signs it.
func (z zoneData) setAt(at int) zoneSet {
	return zoneSet{
		rrtype: binary.BigEndian.Uint16(z[at:]),
		count:  binary.BigEndian.Uint16(z[at+6:]),
		ttl:    binary.BigEndian.Uint32(z[at+2:]),
		data:   z[at+setHeadBytes:][:binary.BigEndian.Uint32(z[at+8:])],
	}
}

// first is the data of the first record.
func (s *zoneSet) first() []byte {
	data, _ := nextRecord(s.data)
	return data
}

// nextRecord takes the first record's data off the data of a set, and returns
// both.
func nextRecord(set []byte) (data, rest []byte) {
	n := 2 + int(binary.BigEndian.Uint16(set))
	return set[2:n], set[n:]
}

// negativeTTL is that of an SOA record in negative answers (RFC 2308 §3).
func (s *zoneSet) negativeTTL() uint32 {
	data := s.first()
	return min(s.ttl, binary.BigEndian.Uint32(data[len(data)-4:]))
}

// target is the name that a record's data points to and whose addresses belong
// into the additional section; nil for types that have none.
func target(rrtype uint16, data []byte) []byte {
	switch rrtype {
	case typeNS:
		return data
	case typeMX, typeSVCB, typeHTTPS: // RFC 1035 §3.3.9, RFC 9460 §4.1
		name := data[2:]
		return name[:skipName(name, 0)]
	case typeSRV:
		return data[6:]
	}
	return nil
}
