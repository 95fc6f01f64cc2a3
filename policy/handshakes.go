package policy

import (
	"net/netip"
	"time"
)

// handshakeKind tells handshakes apart by what they cost: a full one takes a
// signature, which is a hundred times what a resumed one takes.
type handshakeKind uint8

const (
	fullHandshake handshakeKind = iota
	resumedHandshake
	handshakeKinds
)

var handshakeNames = [handshakeKinds]string{"full", "resumed"}

// Handshake charges the client at addr for a full TLS or QUIC handshake and
// tells whether it has one left this second. When it is known whether a
// ticket is good only after the fact, ask Resume first and Handshake when the
// handshake turned out to be a full one.
func (cs *Connections) Handshake(now time.Time, addr netip.Addr) bool {
	return cs.handshake(now, addr, fullHandshake)
}

// Resume charges the client at addr for a handshake that resumes a session.
func (cs *Connections) Resume(now time.Time, addr netip.Addr) bool {
	return cs.handshake(now, addr, resumedHandshake)
}

func (cs *Connections) handshake(now time.Time, addr netip.Addr, kind handshakeKind) bool {
	r := cs.rules.Load()
	allowance, subject := &r.full, subjectHandshakes
	if kind == resumedHandshake {
		allowance, subject = &r.resumed, subjectResumptions
	}
	c := clientOf(addr)
	length := r.lengths[c.family]
	ok := !allowance.on() || r.access.of(addr.Unmap()).trusted ||
		r.handshakes.allow(cs.keys.key(c.within(length), uint64(kind), 0), allowance, now)
	if ok {
		cs.counts.passed[kind].Add(1)
		return true
	}
	cs.counts.refused[kind].Add(1)
	cs.episodes.note(c, length, subject, 0, now)
	return false
}

// idleFloor is the part of the idle time that is left when the server is full:
// a tenth.
const idleFloor = 10

// Idle is how long a connection may now stay idle: the whole of it while at
// most half of the connections are open, then less, down to a tenth when there
// is no room for more.
func (cs *Connections) Idle() time.Duration {
	limits := &cs.rules.Load().limits
	total, open := int64(limits.Total), cs.open.Load()
	if total == 0 || open <= total/2 {
		return limits.Idle
	}
	floor := limits.Idle / idleFloor
	left := max(total-open, 0)
	return floor + time.Duration(float64(limits.Idle-floor)*float64(left)/float64(total-total/2))
}

// Age is the longest life of a connection; 0: no limit. Touch tells when it is
// over; this is for who wants to know while nothing comes.
func (cs *Connections) Age() time.Duration { return cs.rules.Load().limits.Age }

// Streams is how many queries of one connection may be in flight; 0: no limit.
func (cs *Connections) Streams() int { return cs.rules.Load().limits.Streams }

// Count is how many connections are open, all transports together.
func (cs *Connections) Count() int { return int(cs.open.Load()) }

func (cs *Connections) counters() []Counter {
	n := &cs.counts
	out := []Counter{
		{nameOpenings, []string{"result", "opened"}, n.opened.Load()},
		{nameOpenings, []string{"result", "denied"}, n.denied.Load()},
		{nameOpenings, []string{"result", "crowded"}, n.crowded.Load()},
		{nameMadeRoom, nil, n.evicted.Load()},
		{nameRetries, nil, n.retried.Load()},
	}
	for kind, name := range handshakeNames {
		out = append(out,
			Counter{nameHandshakes, []string{"kind", name, "result", "passed"}, n.passed[kind].Load()},
			Counter{nameHandshakes, []string{"kind", name, "result", "refused"}, n.refused[kind].Load()})
	}
	return out
}
