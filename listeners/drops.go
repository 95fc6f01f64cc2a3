package listeners

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
)

// Drops is how many datagrams the kernel threw away at a UDP address instead of
// handing them to the server: its sockets had no room, or the checksum was wrong.
type Drops struct {
	Addr  netip.AddrPort
	Count uint64
}

// drops are those of every UDP address of a Set, also of those that it does not
// listen on any more, as a counter must not go back. It is safe for concurrent use.
type drops struct {
	mu     sync.Mutex
	counts map[netip.AddrPort]*atomic.Uint64
}

// of is the count of an address, for its workers to add to. Nil drops count
// what nobody reads.
func (d *drops) of(addr netip.AddrPort) *atomic.Uint64 {
	if d == nil {
		return new(atomic.Uint64)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.counts == nil {
		d.counts = map[netip.AddrPort]*atomic.Uint64{}
	}
	if d.counts[addr] == nil {
		d.counts[addr] = new(atomic.Uint64)
	}
	return d.counts[addr]
}

// list is what there is, in the order of addresses.
func (d *drops) list() (all []Drops) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for addr, n := range d.counts {
		all = append(all, Drops{addr, n.Load()})
	}
	slices.SortFunc(all, func(a, b Drops) int { return a.Addr.Compare(b.Addr) })
	return all
}
