package resolver

import (
	"encoding/binary"
	"sync/atomic"
)

// hashMemo remembers what was hashed of names that exist, and of the wildcards next to
// them: by the name's node in domains, which empty non-terminals have too, its link and
// that of the wildcard. It is of one snapshot, whose nodes stay what they are. Whoever asks
// for random names asks for one closest encloser again and again, and a denial hashes one
// name instead of three (RFC 5155 §7.2.1). Knot DNS and NSD work out both for every
// name when they load a zone, which doubles what that costs here.
//
// A slot is of the name that came last. It is safe for concurrent use.
type hashMemo [memoSlots]memoSlot

// memoSlot holds the id of a name and, in the lower half, a link; 0: nothing.
type memoSlot struct{ own, wildcard atomic.Uint64 }

// memoSlots: 64 KiB, for more enclosers than an attacker needs.
const memoSlots = 4096

// slot is where what is known of the name with this id is kept.
func (m *hashMemo) slot(id nodeID) *memoSlot {
	const golden = 0x9e3779b1 // 2^32 divided by the golden ratio: spreads what lies close together
	return &m[id*golden>>20]
}

// recall returns what at holds for the name with this id in z; 0: nothing. Of
// the name of a delegation two zones may have a link, if both are ours.
func (s *snapshot) recall(z *signedZone, at *atomic.Uint64, id nodeID) (link uint32) {
	v := at.Load()
	link = uint32(v)
	if nodeID(v>>32) != id || link == 0 || &s.signed[binary.BigEndian.Uint32(s.zoneData[link:])-1] != z {
		return 0
	}
	return link
}

func keep(at *atomic.Uint64, id nodeID, link uint32) { at.Store(uint64(id)<<32 | uint64(link)) }

// findLabel is findHash for the part of the name from label i on.
func (a *zoneAnswer) findLabel(i int) (link uint32, matches bool) {
	if i != a.spot.closest {
		return a.s.findHash(a.zone, a.name.from(i))
	}
	id := a.spot.id
	at := &a.s.hashes.slot(id).own
	if link = a.s.recall(a.zone, at, id); link != 0 {
		return link, true
	}
	if link, matches = a.s.findHash(a.zone, a.name.from(i)); matches {
		keep(at, id, link)
	}
	return link, matches
}

// wildcardLink is hashLink for wildcard, which lies below the part of the name from
// label i on.
func (a *zoneAnswer) wildcardLink(i int, wildcard []byte) uint32 {
	if i != a.spot.closest {
		return a.s.hashLink(a.zone, wildcard)
	}
	id := a.spot.id
	at := &a.s.hashes.slot(id).wildcard
	link := a.s.recall(a.zone, at, id)
	if link == 0 {
		link = a.s.hashLink(a.zone, wildcard)
		keep(at, id, link)
	}
	return link
}
