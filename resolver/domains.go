package resolver

import (
	"bytes"
	"errors"
	"hash/maphash"
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
// (BenchmarkDomains). The hash is seeded: who asks can't know which names share
// a slot.
type domains struct {
	seed  maphash.Seed
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
	return &domains{seed: maphash.MakeSeed(), slots: make([]slot, size), names: make([]byte, 0, nameBytes)}
}

// find returns what is known about name, which is in wire format and lower
// case. It is safe for concurrent use as long as nobody adds.
func (d *domains) find(name []byte) (node, bool) {
	h := maphash.Bytes(d.seed, name)
	for i := int(h) & (len(d.slots) - 1); ; i = (i + 1) & (len(d.slots) - 1) {
		s := &d.slots[i]
		if s.size == 0 {
			return node{}, false
		}
		if s.hash == uint32(h>>32) && bytes.Equal(d.names[s.at:][:s.size], name) {
			return s.node, true
		}
	}
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
	if 2*d.used >= len(d.slots) {
		d.grow()
	}
	h := maphash.Bytes(d.seed, name)
	i := int(h) & (len(d.slots) - 1)
	for ; d.slots[i].size != 0; i = (i + 1) & (len(d.slots) - 1) {
		s := &d.slots[i]
		if s.hash == uint32(h>>32) && bytes.Equal(d.names[s.at:][:s.size], name) {
			return &s.node, nil
		}
	}
	if uint64(len(d.names)+len(name)) > 1<<32-1 {
		return nil, errTooManyDomains
	}
	d.slots[i] = slot{hash: uint32(h >> 32), at: uint32(len(d.names)), node: node{size: uint8(len(name))}}
	d.names = append(d.names, name...)
	d.used++
	return &d.slots[i].node, nil
}

func (d *domains) grow() {
	old := d.slots
	d.slots = make([]slot, 2*len(old))
	for _, s := range old {
		if s.size == 0 {
			continue
		}
		h := maphash.Bytes(d.seed, d.names[s.at:][:s.size])
		i := int(h) & (len(d.slots) - 1)
		for d.slots[i].size != 0 {
			i = (i + 1) & (len(d.slots) - 1)
		}
		d.slots[i] = s
	}
}
