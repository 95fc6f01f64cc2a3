package resolver

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/bits"
	"math/rand/v2"
)

// domains says what is known about a domain name: whether it is a public
// suffix, whether the operator refuses it, and so on. Lookups go label by label
// from the right, so that one walk finds everything about a name and all its
// parents; where a node has no children the walk ends.
//
// It is a hash table with open addressing, at most half full, that never
// changes once a snapshot is in use. Beside a map[string]node it was measured
// at nine tenths of the time and two thirds of the memory for a million
// domains, and it has no pointers that the garbage collector would follow
// (BenchmarkDomains).
//
// The hash of a name is made of its first label and the hash of its parent, so
// that a walk reads each label once. With maphash over the whole of each part of
// a name the walk took half as many instructions again. The hash is
// seeded: who asks can't know which names share a slot. All that somebody who
// did could do is to meet the longest run of slots in use.
type domains struct {
	seed  [2]uint64
	slots []slot // a power of two
	used  int
	names []byte // the names of all slots, one after another, in wire format and lower case
}

type slot struct {
	hash uint32 // the upper half; the lower half chose the slot
	at   uint32 // where the name stands in names
	node
}

// node is what is known about one domain name.
type node struct {
	value uint32 // of a zoneName: where its records are in zoneData, 0 when it has none; of a host: its number
	flags flags
	size  uint8 // of the name in wire format; 0: the slot is free
}

type flags uint16

const (
	inner           flags = 1 << iota // has children in the table
	suffixICANN                       // is a public suffix of the ICANN section
	suffixPrivate                     // is a public suffix of the private section
	wildcardICANN                     // every child is a public suffix of the ICANN section
	wildcardPrivate                   // every child is a public suffix of the private section
	exception                         // is not a public suffix, although its parent's wildcard says so
	apex                              // the operator says that it is a base
	only                              // it and what lies below may be parked
	refuse                            // it and what lies below are not parked
	host                              // is a name server of ours
	noCAA                             // as a base, gives no CAA: a certificate is asked for below it
	zoneApex                          // an operator's zone begins here
	zoneName                          // exists in an operator's zone, with records or without
	zoneCut                           // is delegated by the operator's zone that it lies in
	zoneAlias                         // has a DNAME record
	reports                           // names below authorise DMARC reports (reports.go)
)

const inZone = zoneApex | zoneName | reports

const wildcards = wildcardICANN | wildcardPrivate

// newDomains returns a table with room for so many names, which take so many
// bytes together; it grows when there are more.
func newDomains(expected, nameBytes int) *domains {
	size := 64
	for size < 2*expected {
		size *= 2
	}
	return &domains{seed: [2]uint64{rand.Uint64(), rand.Uint64() | 1}, slots: make([]slot, size), names: make([]byte, 0, nameBytes)}
}

// find returns what is known about name, which is in wire format and lower
// case, or nil. It is safe for concurrent use as long as nobody adds.
func (d *domains) find(name []byte) *node { return d.at(d.hash(name), name) }

// at is find for a name whose hash is known.
func (d *domains) at(h uint64, name []byte) *node {
	for i := h; ; i++ {
		s := &d.slots[i&uint64(len(d.slots)-1)]
		if s.size == 0 {
			return nil
		}
		if s.hash == uint32(h>>32) && bytes.Equal(d.names[s.at:][:s.size], name) {
			return &s.node
		}
	}
}

// hash is that of a name in wire format.
func (d *domains) hash(name []byte) uint64 {
	if name[0] == 0 {
		return d.root()
	}
	n := 1 + int(name[0])
	return d.below(d.hash(name[n:]), name[:n])
}

func (d *domains) root() uint64 { return d.seed[0] }

// below is the hash of a name, from that of its parent and its first label, the
// length byte included. It folds multiplications, as wyhash does.
func (d *domains) below(parent uint64, label []byte) uint64 {
	h := parent
	for ; len(label) > 8; label = label[8:] {
		h = fold(h^binary.LittleEndian.Uint64(label), d.seed[1])
	}
	var last uint64
	switch n := len(label); {
	case n >= 4:
		last = uint64(binary.LittleEndian.Uint32(label)) | uint64(binary.LittleEndian.Uint32(label[n-4:]))<<32
	case n >= 2: // a label has at least one byte behind its length
		last = uint64(label[0]) | uint64(label[1])<<8 | uint64(label[n-1])<<16
	default: // the rest of a long one
		last = uint64(label[0])
	}
	return fold(h^last, d.seed[1])
}

func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

var errTooManyDomains = errors.New("the lists of domains are longer than 4 GiB together")

// add sets f on name and makes sure that a walk gets there. It returns the
// node to be filled in further, valid until the next add.
func (d *domains) add(name []byte, f flags) (*node, error) {
	for rest := name; ; {
		rest = rest[1+rest[0]:]
		if rest[0] == 0 {
			break
		}
		n, err := d.put(rest)
		if err != nil {
			return nil, err
		}
		if n.flags&inner != 0 {
			break // so its parents are there as well
		}
		n.flags |= inner
	}
	n, err := d.put(name)
	if err != nil {
		return nil, err
	}
	n.flags |= f
	return n, nil
}

func (d *domains) put(name []byte) (*node, error) {
	h := d.hash(name)
	if n := d.at(h, name); n != nil {
		return n, nil
	}
	if 2*d.used >= len(d.slots) {
		d.grow()
	}
	if uint64(len(d.names)+len(name)) > 1<<32-1 {
		return nil, errTooManyDomains
	}
	s := d.free(h)
	*s = slot{hash: uint32(h >> 32), at: uint32(len(d.names)), node: node{size: uint8(len(name))}}
	d.names = append(d.names, name...)
	d.used++
	return &s.node, nil
}

// free is where a name with hash h would go.
func (d *domains) free(h uint64) *slot {
	for i := h; ; i++ {
		if s := &d.slots[i&uint64(len(d.slots)-1)]; s.size == 0 {
			return s
		}
	}
}

func (d *domains) grow() {
	old := d.slots
	d.slots = make([]slot, 2*len(old))
	for _, s := range old {
		if s.size > 0 {
			*d.free(d.hash(d.names[s.at:][:s.size])) = s
		}
	}
}
