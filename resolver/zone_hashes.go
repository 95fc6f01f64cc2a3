package resolver

import (
	"encoding/binary"
	"sync/atomic"
)

// hashMemo remembers what was hashed of names that exist, and of the wildcards next to
// them: by where in zoneData a name is, its link and that of the wildcard. Whoever asks
// for random names asks for one closest encloser again and again, and a denial hashes one
// name instead of three (RFC 5155 §7.2.1). Knot DNS and NSD work out both for every
// name when they load a zone, which doubles what that costs here.
//
// A slot is of the name that came last. It is safe for concurrent use.
type hashMemo [memoSlots]memoSlot

// memoSlot holds where a name is and, in the lower half, a link; 0: nothing.
type memoSlot struct{ own, wildcard atomic.Uint64 }

// memoSlots: 64 KiB, for more enclosers than an attacker needs.
const memoSlots = 4096

// slot is where what is known of the name at node is kept.
func (m *hashMemo) slot(node uint32) *memoSlot {
	const golden = 0x9e3779b1 // 2^32 divided by the golden ratio: spreads what lies close together
	return &m[node*golden>>20]
}

// recall returns what at holds for the name at node in z; 0: nothing.
func (s *snapshot) recall(z *signedZone, at *atomic.Uint64, node uint32) (link uint32) {
	v := at.Load()
	link = uint32(v)
	if uint32(v>>32) != node || link == 0 || &s.signed[binary.BigEndian.Uint32(s.zoneData[link:])-1] != z {
		return 0
	}
	return link
}

func keep(at *atomic.Uint64, node, link uint32) { at.Store(uint64(node)<<32 | uint64(link)) }

// findLabel is findHash for the part of the name from label i on.
func (a *zoneAnswer) findLabel(i int) (link uint32, matches bool) {
	node := a.spot.node
	if i != a.spot.closest || node == 0 {
		return a.s.findHash(a.zone, a.name.from(i))
	}
	at := &a.s.hashes.slot(node).own
	if link = a.s.recall(a.zone, at, node); link != 0 {
		return link, true
	}
	if link, matches = a.s.findHash(a.zone, a.name.from(i)); matches {
		keep(at, node, link)
	}
	return link, matches
}

// wildcardLink is hashLink for wildcard, which lies below the part of the name from
// label i on.
func (a *zoneAnswer) wildcardLink(i int, wildcard []byte) uint32 {
	node := a.spot.node
	if i != a.spot.closest || node == 0 {
		return a.s.hashLink(a.zone, wildcard)
	}
	at := &a.s.hashes.slot(node).wildcard
	link := a.s.recall(a.zone, at, node)
	if link == 0 {
		link = a.s.hashLink(a.zone, wildcard)
		keep(at, node, link)
	}
	return link
}
