package listeners

import (
	"errors"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"domainpark/query"
)

// handshakeGate bounds how many TLS handshakes over TCP are computed at once. One
// takes as long as a hundred queries, and Go's scheduler runs goroutines in the order in
// which they became ready: beside a crowd of clients, each within its limits, every
// other answer waited until the handshakes of all of them were computed. Now they
// wait here, and the scheduler has no more than a few before anybody else.
//
// Measured on one CPU with 512 handshakes under way from 250 networks: half of the answers
// over TCP within 2 ms instead of 70, 99 % of those over UDP within 11 ms instead of 105,
// as many handshakes; with 8,000 new ones a second, of which half can be computed, no fewer.
// Beside a client that sends queries over 64 connections as fast as they are taken, three
// quarters of the handshakes that there were, each of which then had as much of the
// CPU as one of these connections.
//
// With a key for RSA of 2048 bits, which takes five times as long, fewer are computed at once:
// half of the answers over TCP come within 3 ms instead of 32, and 99 % of those over UDP within
// 10 ms instead of 300; with 4096 bits 25 ms instead of 3.3 s, and 21 ms instead of more than 2 s.
//
// Only what leads to the server's first flight has to pass, which is the dear part, and in
// TLS 1.2 what the client's keys are computed with. A client that is waited for has no
// place, and what ends its handshake needs none. None passes more often than twice.
//
//   - A place is lent: when others wait, one that was not given back within lease goes
//     on to the next, and its handshake is computed beside them. So nothing slow
//     shuts the gate, be it a certificate that comes from far away or a CPU that
//     others keep busy.
//   - Of each network that waits, one handshake goes before all the others, which have
//     every fourth place. So clients that wait with many delay those of other networks by
//     hardly more than one.
//   - Who came first goes first, until that one has waited for half of its patience.
//     Then more come than can be computed, and every other place is for the last:
//     if all waited for equally long, each would be computed for a client that has
//     nearly given up.
//   - Who has waited for a third of Timeouts.Handshake is turned away: two thirds are
//     left to those that are not. So is who has no more left of it, which begins when the
//     connection is accepted. So are, when more wait than may, those that have
//     waited for longest, first of all those behind others of their network.
//   - When a crowd waits, no more connections are accepted. What the kernel holds
//     costs next to nothing; to turn it away would cost half a handshake.
//
// What the client was charged stays charged: its hello was read, and one that gets its
// charge back could have others turned away for nothing.
//
// Handshakes of QUIC have another gate: see gated.
//
// It is safe for concurrent use. A nil gate is open: it is that of listeners
// without a Set.
type handshakeGate struct {
	cpus   int // that compute
	queued int // how many may wait
	crowd  int // how many may wait before no more are accepted
	log    *slog.Logger
	lines  throttle // of log

	mu     sync.Mutex
	cost   time.Duration             // of a full handshake, on average, without what is waited for
	inside line                      // who has a place; the front has had it for longest
	first  line                      // who waits, one of each network; the front for longest
	others line                      // who waits behind them
	ahead  map[netip.Prefix]struct{} // networks of those in first
	newest bool                      // who was let in last was the last to come
	passed uint                      // how many were let in that had waited
	alarm  *time.Timer               // for the lease of the front; nil: nobody has ever waited
	armed  bool                      // it will go off
	bell   bell                      // calls ring
	room   chan struct{}             // closed when more may be accepted again; nil: they may
	open   bool                      // the set stops, and accepts whatever is there

	turnedAway [query.Transports]atomic.Uint64
}

const (
	// mostPlacesPerCPU is how many handshakes may be computed at once. With one, a TCP
	// client that sends all the time would leave a handshake one turn in each round of
	// the scheduler.
	mostPlacesPerCPU = 8

	// mostDelay is for how long they may delay anybody else: all of them with a usual key.
	// Those with a slow one have fewer places.
	mostDelay = mostPlacesPerCPU * usualCost

	// queuedPerCPU is how many may wait, those that had been accepted before they sent
	// a hello: about as many as a CPU computes in a second.
	queuedPerCPU = 4096

	// crowdPerCPU is how many may wait before no more are accepted: what a CPU computes in
	// half a second. With 512, those who may have 100 connections each (perclient) could
	// make a crowd with five networks, and in the kernel's queue nobody goes before them.
	crowdPerCPU = 2048

	// othersEvery is which place goes to one that is not the first of its network, so that those
	// who share a network all get in while there are always others.
	othersEvery = 4

	// usualCost is what a handshake's first flight takes with X25519 and a key for ECDSA
	// P-256, as issued by most. Until it is known it is thought to be mostDelay, so that a
	// crowd that comes first is not let in at once to a key that is slow. Above mostCost
	// it does not go, whatever keys there are, so that a lease ends long before the patience
	// of those that wait. Below leastCost it does not go: a lease is to last until its
	// handshake has had a turn.
	usualCost = 200 * time.Microsecond
	mostCost  = 50 * time.Millisecond
	leastCost = usualCost / 4
)

// What counts as one network. It need not be what the limits take for one: it only
// decides who waits behind whom.
const (
	networkBitsIPv4 = 24
	networkBitsIPv6 = 56
)

var (
	errTurnedAway = errors.New("too many handshakes wait to be computed")
	errBarred     = errors.New("the connection was closed while its handshake waited to be computed")
	errHungUp     = errors.New("the client left while its handshake waited to be computed")
)

// newHandshakeGate returns a gate, which has to be closed.
func newHandshakeGate(log *slog.Logger) *handshakeGate {
	cpus := min(runtime.GOMAXPROCS(0), runtime.NumCPU())
	g := &handshakeGate{cpus: cpus, queued: queuedPerCPU * cpus, crowd: crowdPerCPU * cpus, log: log,
		cost: mostDelay, ahead: make(map[netip.Prefix]struct{})}
	g.bell.hang()
	return g
}

// networkOf is the network of a client.
func networkOf(addr netip.Addr) netip.Prefix {
	bits := networkBitsIPv6
	if addr.Is4() {
		bits = networkBitsIPv4
	}
	network, _ := addr.Prefix(bits) // zero, like addr, when that is unknown
	return network
}

// join gives p a place, or has it wait: then word comes on p.word.
func (g *handshakeGate) join(p *passage, now time.Time) (waits bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case p.barred:
		return false, errBarred
	case !g.full() && g.waiting() == 0:
		g.inside.add(p, now)
		return false, nil
	}
	p.word = make(chan error, 1)
	if _, taken := g.ahead[p.network]; taken {
		g.others.add(p, now)
	} else {
		g.ahead[p.network] = struct{}{}
		g.first.add(p, now)
	}
	g.trim()
	g.wake(now)
	return true, nil
}

// leave takes p out of whatever line it is in. What p took is learnt when it is all that
// was to be computed.
func (g *handshakeGate) leave(p *passage) {
	p.interrupt()
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.whole {
		g.learn(p.took)
		p.whole = false
	}
	if p.in == &g.inside {
		g.vacate(p)
	}
}

// bar is for a passage that is to get no place any more. One that it has goes to
// whoever is next.
func (g *handshakeGate) bar(p *passage) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p.barred = true
	switch p.in {
	case nil:
	case &g.inside:
		g.vacate(p)
	default:
		g.tell(p, errBarred)
	}
}

// vacate takes p, which has a place, out of it. The caller holds mu.
func (g *handshakeGate) vacate(p *passage) {
	g.inside.remove(p)
	if g.waiting() > 0 {
		g.wake(time.Now())
	}
}

// start is called before the first connection comes.
func (g *handshakeGate) start() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.bell.listen(g.ring)
}

// close gives up what the gate has of the system. It is called when no connection is left.
func (g *handshakeGate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.bell.takeDown()
	if g.alarm != nil {
		g.alarm.Stop()
	}
}
