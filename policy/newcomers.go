package policy

import (
	"net/netip"
	"sync/atomic"
	"time"
)

// newcomerSlots: addresses may be forged here, so there is no account for each
// that an attacker could have made or thrown out. Clients share slots instead,
// nobody knows who with whom. 32 KiB.
const newcomerSlots = 1 << 12

// newcomerSlot counts the handshakes of one second: the second in Unix time
// stands above newcomerBits bits of count.
type newcomerSlot struct{ word atomic.Uint64 }

const newcomerBits = 24

// another counts one more, and returns how many there were in the second of now.
func (s *newcomerSlot) another(now time.Time) uint64 {
	begin := uint64(now.Unix()) << newcomerBits
	for {
		old := s.word.Load()
		next := max(old, begin) + 1 // a count that overflows ends the second early
		if s.word.CompareAndSwap(old, next) {
			return next - next>>newcomerBits<<newcomerBits
		}
	}
}

// Newcomer tells whether a QUIC client that claims to be at addr, and has not
// proved it, may begin a handshake all the same: as many a second as the client
// may make full ones. Otherwise it has to prove its address by a Retry (RFC
// 9000 §8.1.2). To an honest client that is one more round trip, and it is all
// that a forged flood does to the clients whose addresses it uses.
func (cs *Connections) Newcomer(now time.Time, addr netip.Addr) bool {
	r := cs.rules.Load()
	if !r.full.on() || r.access.of(addr.Unmap()).trusted {
		return true
	}
	if cs.newcomerSlot(r, addr).another(now) <= uint64(r.limits.Handshakes) {
		return true
	}
	cs.counts.retried.Add(1)
	return false
}

func (cs *Connections) newcomerSlot(r *connectionRules, addr netip.Addr) *newcomerSlot {
	c := clientOf(addr)
	return &cs.newcomers[cs.keys.key(c.within(r.lengths[c.family]), uint64(handshakeKinds), 0)%newcomerSlots]
}
