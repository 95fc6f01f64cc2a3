package resolver

import (
	"encoding/binary"

	"domainpark/query"
)

// zoneMessage writes an answer from zones behind the question. What does not
// fit is not written, and full is set.
type zoneMessage struct {
	dst   []byte
	start int // where the message begins in dst
	end   int // how long dst may become
	full  bool
	counts
	maxAge uint32 // the smallest TTL, seconds
	data   int    // where in the message the last record's data begin

	// Where in the message names stand that others can point to, by hash, and
	// which places of the table are taken, in the order of the names.
	table [128]uint16
	order [64]uint8
	names int
}

const (
	hashSeed   = 2166136261 // FNV-1a, 32 bits
	hashPrime  = 16777619
	hashShift  = 32 - 7 // leaves as many bits as table has places
	maxProbes  = 4
	maxPointer = 1<<14 - 1 // RFC 1035 §4.1.4
)

// begin starts a message with the question of q.
func (w *zoneMessage) begin(dst []byte, q *query.Query, question int) {
	w.start = len(dst)
	w.end = w.start + q.Limit
	if q.HasOPT {
		w.end -= optBytes
	}
	w.dst = append(dst, q.Message[:question]...)
	w.maxAge = 1<<32 - 1
	h := uint32(hashSeed)
	for i := q.Count - 1; i >= 0; i-- {
		h = hashLabel(h, q.Name[q.Labels[i]:])
		w.remember(h, headerBytes+int(q.Labels[i]))
	}
}

// hashLabel adds the first label of name to the hash of what follows it.
// Setting 0x20 makes the cases of a letter equal; that other bytes become
// equal as well costs a comparison.
func hashLabel(h uint32, name []byte) uint32 {
	for _, c := range name[:1+name[0]] {
		h = (h ^ uint32(c|0x20)) * hashPrime
	}
	return h
}

// remember notes that the name with hash h stands at offset in the message.
func (w *zoneMessage) remember(h uint32, offset int) {
	if w.names == len(w.order) || offset > maxPointer {
		return
	}
	for i := range uint32(maxProbes) {
		place := (h>>hashShift + i) % uint32(len(w.table))
		if w.table[place] == 0 {
			w.table[place] = uint16(offset)
			w.order[w.names] = uint8(place)
			w.names++
			return
		}
	}
}

// recall returns where name, whose hash is h, stands in the message; 0: it
// does not.
func (w *zoneMessage) recall(h uint32, name []byte) int {
	for i := range uint32(maxProbes) {
		offset := int(w.table[(h>>hashShift+i)%uint32(len(w.table))])
		if offset == 0 {
			return 0
		}
		if w.equal(offset, name) {
			return offset
		}
	}
	return 0
}

// equal tells whether the name at offset in the message is name, whatever the
// case of letters.
func (w *zoneMessage) equal(offset int, name []byte) bool {
	m := w.dst[w.start:]
	for {
		n := m[offset]
		if n >= 0xC0 {
			offset = int(binary.BigEndian.Uint16(m[offset:]) & maxPointer)
			continue
		}
		if n != name[0] {
			return false
		}
		if n == 0 {
			return true
		}
		for i, c := range name[1 : 1+n] {
			if lower(m[offset+1+i]) != lower(c) {
				return false
			}
		}
		offset += 1 + int(n)
		name = name[1+n:]
	}
}

// name writes a name, compressed.
func (w *zoneMessage) name(wire []byte) {
	var at [query.MaxLabels + 1]uint8
	n := labelled(wire, &at)
	h := uint32(hashSeed)
	size, pointer := len(wire), 0
	before := w.names
	missing := false
	for i := len(n.at) - 1; i >= 0; i-- {
		h = hashLabel(h, n.from(i))
		if !missing {
			if offset := w.recall(h, n.from(i)); offset > 0 {
				size, pointer = int(n.at[i])+2, offset
				continue
			}
			missing = true
		}
		w.remember(h, len(w.dst)-w.start+int(n.at[i]))
	}
	switch {
	case len(w.dst)+size > w.end:
		w.full = true
		w.forget(before)
	case pointer > 0:
		w.dst = append(w.dst, wire[:size-2]...)
		w.dst = binary.BigEndian.AppendUint16(w.dst, 0xC000|uint16(pointer))
	default:
		w.dst = append(w.dst, wire...)
	}
}

// forget takes out of the table all names but the first so many.
func (w *zoneMessage) forget(names int) {
	for w.names > names {
		w.names--
		w.table[w.order[w.names]] = 0
	}
}

func (w *zoneMessage) bytes(b []byte) {
	if len(w.dst)+len(b) > w.end {
		w.full = true
		return
	}
	w.dst = append(w.dst, b...)
}

// set writes the records of a set into the section of count, all of them or
// none, and tells whether it did.
//
// s comes by its address: in registers there is no room for it beside the other
// arguments, and reading it back from the stack before the CPU has written it
// there cost a tenth of the time that an answer takes.
func (w *zoneMessage) set(count *uint16, owner []byte, s *zoneSet, ttl uint32) bool {
	size, names := len(w.dst), w.names
	for rest := s.data; len(rest) > 0 && !w.full; {
		var data []byte
		data, rest = nextRecord(rest)
		w.record(owner, s.rrtype, ttl, data)
	}
	if w.full {
		w.dst = w.dst[:size]
		w.forget(names)
		return false
	}
	w.counted(count, s.count, ttl)
	return true
}

// counted notes that n records were written into the section of count.
func (w *zoneMessage) counted(count *uint16, n uint16, ttl uint32) {
	*count += n
	w.maxAge = min(w.maxAge, ttl)
}

// record writes one record.
func (w *zoneMessage) record(owner []byte, rrtype uint16, ttl uint32, data []byte) {
	w.name(owner)
	if w.full || len(w.dst)+10 > w.end {
		w.full = true
		return
	}
	w.dst = binary.BigEndian.AppendUint16(w.dst, rrtype)
	w.dst = binary.BigEndian.AppendUint16(w.dst, classIN)
	w.dst = binary.BigEndian.AppendUint32(w.dst, ttl)
	length := len(w.dst)
	w.dst = append(w.dst, 0, 0)
	w.data = len(w.dst) - w.start
	// Names are compressed in the types of RFC 1035 alone (RFC 3597 §4).
	switch rrtype {
	case typeNS, typeCNAME, typePTR:
		w.name(data)
	case typeMX:
		w.bytes(data[:2])
		w.name(data[2:])
	case typeSOA:
		second := skipName(data, 0)
		end := skipName(data, second)
		w.name(data[:second])
		w.name(data[second:end])
		w.bytes(data[end:])
	default:
		w.bytes(data)
	}
	binary.BigEndian.PutUint16(w.dst[length:], uint16(len(w.dst)-length-2))
}
