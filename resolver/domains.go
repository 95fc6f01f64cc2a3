package resolver

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"math/rand/v2"

	"domainpark/query"
)

// domains says what is known about a domain name: whether it is a public
// suffix, whether the operator refuses it, and so on. Lookups go label by label
// from the right, so that one walk finds everything about a name and all its
// parents; where a node has no children the walk ends.
//
// It is a hash table with open addressing, at most half full, that never
// changes once a snapshot is in use. It has no pointers that the garbage
// collector would follow, and takes less than a map[string]node: 65 bytes a domain
// for a million of them (BenchmarkCompile, BenchmarkDomains).
//
// A node is found by its first label and the node of its parent, so that a walk
// reads each label once, and one of up to seven bytes, as all but a few public
// suffixes have, is compared as one word: that takes half as many instructions a
// label as a table of whole names. The hash is seeded: who asks can't know which
// names share a slot. All that somebody who did could do is to meet the longest
// run of slots in use.
type domains struct {
	seed  [2]uint64
	slots []slot   // a power of two
	seen  []uint64 // a bit for each node, see mayHold
	used  int
	names []byte // the first labels of all slots, one after another, in wire format and lower case
}

type slot struct {
	word   uint64 // the label's first eight bytes, its length byte among them; 0: the slot is free
	parent nodeID
	id     nodeID
	node
}

// nodeID tells nodes apart: where the node's label stands in names. The root,
// which is in no table, has 0.
type nodeID uint32

const root nodeID = 0

// node is what is known about one domain name.
type node struct {
	value uint32 // of a zoneName: where its records are in zoneData, 0 when it has none; of a host: its number
	flags flags
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
	names := append(make([]byte, 0, nameBytes+1), 0) // no label stands where the root's would
	d := &domains{seed: [2]uint64{rand.Uint64(), rand.Uint64()}, names: names}
	d.resize(size)
	return d
}

// resize makes the table one of so many free slots.
func (d *domains) resize(slots int) {
	const bitsPerSlot = 4
	d.slots, d.seen = make([]slot, slots), make([]uint64, slots*bitsPerSlot/64)
}

// find returns what is known about name, which is in wire format and lower
// case, or nil. It is safe for concurrent use as long as nobody adds.
func (d *domains) find(name []byte) *node {
	var at [query.MaxLabels + 1]uint8
	var found *node
	parent := root
	for labels := labelled(name, &at).at; len(labels) > 0; labels = labels[:len(labels)-1] {
		s := d.child(parent, name[labels[len(labels)-1]:])
		if s == nil {
			return nil
		}
		found, parent = &s.node, s.id
	}
	return found
}

// child is the slot of name, in wire format and lower case, whose parent is
// known; nil when nothing is known about it.
func (d *domains) child(parent nodeID, name []byte) *slot {
	if cap(name) < 8 {
		var b [8]byte
		copy(b[:], name)
		return d.child(parent, b[:])
	}
	word := binary.LittleEndian.Uint64(name[:8:8])
	// The length comes from the word: with name[0] the compiler would read the
	// eight bytes one by one.
	n := word & 0xff
	if n > 7 {
		return d.longChild(parent, word, name)
	}
	word = cutTo(word, n)
	h := d.hash(parent, word)
	if !d.mayHold(h) {
		return nil
	}
	slots := d.slots
	for i := h; ; i++ {
		s := &slots[i&uint64(len(slots)-1)]
		if s.word == word && s.parent == parent {
			return s
		}
		if s.word == 0 {
			return nil
		}
	}
}

// longChild is child for a label that is longer than word, which it begins with.
func (d *domains) longChild(parent nodeID, word uint64, name []byte) *slot {
	label := name[:1+word&0xff]
	h := d.hashLong(parent, label)
	if !d.mayHold(h) {
		return nil
	}
	slots := d.slots
	for i := h; ; i++ {
		s := &slots[i&uint64(len(slots)-1)]
		if s.word == word && s.parent == parent && string(d.names[s.id:][:len(label)]) == string(label) {
			return s
		}
		if s.word == 0 {
			return nil
		}
	}
}

// mayHold tells whether a node with this hash may be in the table: a Bloom filter
// of one hash and four bits a slot, which lets one of ten pass that are not there.
// Of most names the last label that is looked up is not, such as example in
// example.com: with the filter, 16 KB for the public suffixes, that look costs a
// word that stays in the processor's cache, and not a slot of 800 KB that does not:
// 1.2 % of what an answer over UDP costs, all of the kernel's part included.
func (d *domains) mayHold(h uint64) bool {
	return d.seen[h>>32&uint64(len(d.seen)-1)]>>(h>>58)&1 != 0
}

// cutTo is the label of n bytes that word begins with, its length byte included.
func cutTo(word, n uint64) uint64 {
	above := (56 - 8*n) & 63
	return word << above >> above
}

// hash is that of the child of parent with a label that fits a word.
func (d *domains) hash(parent nodeID, word uint64) uint64 {
	return fold(word^d.seed[0], uint64(parent)^d.seed[1])
}

// hashLong is hash for a label that is longer: it folds multiplications, as
// wyhash does, the last of a word that overlaps the one before.
func (d *domains) hashLong(parent nodeID, label []byte) uint64 {
	h := d.hash(parent, binary.LittleEndian.Uint64(label))
	for i := 8; i+8 < len(label); i += 8 {
		h = fold(h^binary.LittleEndian.Uint64(label[i:i+8:i+8]), d.seed[1]|1)
	}
	return fold(h^binary.LittleEndian.Uint64(label[len(label)-8:]), d.seed[1]|1)
}

func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

var errTooManyDomains = errors.New("the lists of domains are longer than 4 GiB together")

// add sets f on name and makes sure that a walk gets there. It returns the
// node to be filled in further, valid until the next add.
func (d *domains) add(name []byte, f flags) (*node, error) {
	var at [query.MaxLabels + 1]uint8
	labels := labelled(name, &at).at
	parent := root
	for i := len(labels) - 1; i > 0; i-- {
		s, err := d.put(parent, name[labels[i]:])
		if err != nil {
			return nil, err
		}
		s.flags |= inner
		parent = s.id
	}
	s, err := d.put(parent, name)
	if err != nil {
		return nil, err
	}
	s.flags |= f
	return &s.node, nil
}

// put is child for a name that is to be there afterwards.
func (d *domains) put(parent nodeID, name []byte) (*slot, error) {
	if s := d.child(parent, name); s != nil {
		return s, nil
	}
	if 2*d.used >= len(d.slots) {
		d.grow()
	}
	label := name[:1+name[0]]
	if uint64(len(d.names)+len(label)) > 1<<32-1 {
		return nil, errTooManyDomains
	}
	s := d.place(parent, nodeID(len(d.names)), node{}, label)
	d.names = append(d.names, label...)
	d.used++
	return s, nil
}

// place puts a node that is not there into a free slot.
func (d *domains) place(parent, id nodeID, n node, label []byte) *slot {
	var b [8]byte
	copy(b[:], label)
	word := binary.LittleEndian.Uint64(b[:])
	h := d.hash(parent, word)
	if len(label) > 8 {
		h = d.hashLong(parent, label)
	}
	d.seen[h>>32&uint64(len(d.seen)-1)] |= 1 << (h >> 58)
	for i := h; ; i++ {
		if s := &d.slots[i&uint64(len(d.slots)-1)]; s.word == 0 {
			*s = slot{word, parent, id, n}
			return s
		}
	}
}

func (d *domains) grow() {
	old := d.slots
	d.resize(2 * len(old))
	for _, s := range old {
		if s.word != 0 {
			label := d.names[s.id:]
			d.place(s.parent, s.id, s.node, label[:1+label[0]])
		}
	}
}
