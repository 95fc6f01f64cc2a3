package policy

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Connections accounts for the open connections of TCP, DoT, DoH, DoH3 and DoQ
// together. When there are as many as may be open, a new one takes the place
// of the one that has been idle for longest, so that a server full of silent
// connections still serves whoever comes. It knows no sockets: who opens a
// connection says how to close it.
//
// Accounts are split over shards by client; every operation takes one shard's
// lock, and the search for the longest idle takes each of them once. It is safe
// for concurrent use.
type Connections struct {
	rules    atomic.Pointer[connectionRules]
	keys     keyring
	epoch    time.Time
	episodes *episodes
	open     atomic.Int64
	shards   [connectionShards]connectionShard
	counts   connectionCounts

	newcomers [newcomerSlots]newcomerSlot
}

const (
	// connectionShards: two cores that open connections at once rarely meet.
	connectionShards = 16
	// handshakeBuckets: a client has one bucket for each kind of handshake it
	// made within the last second; addresses are not spoofed here.
	handshakeBuckets = 1 << 14
)

// connectionRules is what follows from one Config.
type connectionRules struct {
	limits     ConnectionLimits
	access     access
	lengths    [families]uint8
	handshakes *table
	full       allowance
	resumed    allowance
}

// connectionShard holds the connections of some clients, the longest idle
// first in a ring.
type connectionShard struct {
	mu      sync.Mutex
	clients map[client]int
	ring    Connection // its next is the longest idle
	_       [64]byte
}

type connectionCounts struct {
	opened, denied, crowded, evicted, retried atomic.Uint64
	passed, refused                           [handshakeKinds]atomic.Uint64
}

// Connection is one open connection.
type Connection struct {
	owner  *Connections
	shard  *connectionShard
	client client
	evict  func()
	opened time.Time

	// Guarded by the shard's lock.
	prev, next *Connection // nil when closed
	active     time.Time
	messages   int
}

func newConnections(e *episodes, now time.Time) *Connections {
	cs := &Connections{keys: newKeyring(), epoch: now, episodes: e}
	for i := range cs.shards {
		s := &cs.shards[i]
		s.clients = make(map[client]int)
		s.ring.prev, s.ring.next = &s.ring, &s.ring
	}
	return cs
}

// reload replaces the limits. Open connections stay.
func (cs *Connections) reload(limits ConnectionLimits, a access) {
	r := &connectionRules{
		limits:  limits,
		access:  a,
		lengths: [families]uint8{uint8(limits.IPv4Prefix), uint8(limits.IPv6Prefix)},
		full:    perSecond(limits.Handshakes),
		resumed: perSecond(limits.Resumptions),
	}
	if old := cs.rules.Load(); old != nil && old.limits == limits {
		r.handshakes = old.handshakes
	} else {
		r.handshakes = newTable(handshakeBuckets, cs.epoch)
	}
	cs.rules.Store(r)
}

// Open accounts for a connection from addr that was just accepted. It returns
// nil when the connection is to be closed at once: its client is denied, or
// has too many already.
//
// Evict is called at most once, when the connection has to make room for
// another: it shall close the connection, and must neither be nil nor wait nor call back.
// The connection is then no longer counted; closing it all the same is legal.
func (cs *Connections) Open(now time.Time, addr netip.Addr, evict func()) *Connection {
	r := cs.rules.Load()
	standing := r.access.of(addr.Unmap())
	if standing.denied && !r.limits.AdmitDenied {
		cs.counts.denied.Add(1)
		return nil
	}
	c := clientOf(addr)
	length := r.lengths[c.family]
	c = c.within(length)
	conn := &Connection{owner: cs, client: c, evict: evict, opened: now, active: now}
	conn.shard = &cs.shards[cs.keys.key(c, 0, 0)%connectionShards]
	most := r.limits.PerClient
	if standing.trusted {
		most = 0
	}
	if !conn.shard.enter(conn, most) {
		cs.counts.crowded.Add(1)
		cs.episodes.note(c, length, subjectConnections, 0, now)
		return nil
	}
	cs.counts.opened.Add(1)
	if open := cs.open.Add(1); r.limits.Total > 0 && open > int64(r.limits.Total) {
		cs.makeRoom(conn)
	}
	return conn
}

// enter adds conn as the least idle, unless its client has most already; zero
// is no limit.
func (s *connectionShard) enter(conn *Connection, most int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.clients[conn.client]
	if most > 0 && n >= most {
		return false
	}
	s.clients[conn.client] = n + 1
	conn.link(s.ring.prev)
	return true
}

// makeRoom closes the longest idle connection, but not the one that came.
func (cs *Connections) makeRoom(came *Connection) {
	var shard *connectionShard
	var since time.Time
	for i := range cs.shards {
		s := &cs.shards[i]
		s.mu.Lock()
		if first := s.ring.next; first != &s.ring && first != came && (shard == nil || first.active.Before(since)) {
			shard, since = s, first.active
		}
		s.mu.Unlock()
	}
	if shard == nil {
		return
	}
	shard.mu.Lock()
	victim := shard.ring.next
	found := victim != &shard.ring && victim != came && cs.leave(victim)
	shard.mu.Unlock()
	if found {
		cs.counts.evicted.Add(1)
		victim.evict()
	}
}

// leave takes conn out of the accounts. The caller holds its shard's lock.
func (cs *Connections) leave(conn *Connection) bool {
	if conn.next == nil {
		return false
	}
	conn.unlink()
	if n := conn.shard.clients[conn.client]; n > 1 {
		conn.shard.clients[conn.client] = n - 1
	} else {
		delete(conn.shard.clients, conn.client)
	}
	cs.open.Add(-1)
	return true
}

// Touch notes that a message arrived, and tells whether the connection may
// have another one after it.
func (c *Connection) Touch(now time.Time) (more bool) {
	c.shard.mu.Lock()
	c.active = now
	c.messages++
	messages := c.messages
	if c.next != nil && c.next != &c.shard.ring {
		c.unlink()
		c.link(c.shard.ring.prev)
	}
	c.shard.mu.Unlock()
	limits := &c.owner.rules.Load().limits
	return (limits.Queries == 0 || messages < limits.Queries) && (limits.Age == 0 || now.Sub(c.opened) < limits.Age)
}

// Close ends the account of a connection. Closing twice is legal.
func (c *Connection) Close() {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	c.owner.leave(c)
}

func (c *Connection) link(after *Connection) {
	c.prev, c.next = after, after.next
	c.prev.next, c.next.prev = c, c
}

func (c *Connection) unlink() {
	c.prev.next, c.next.prev = c.next, c.prev
	c.prev, c.next = nil, nil
}
