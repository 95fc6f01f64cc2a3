package listeners

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"domainpark/query"
)

// transports are the rows of settings, and how one address of each is bound.
var transports = []struct {
	name  string
	addrs func(*Config) []string
	bind  bindFunc
}{
	{"udp", func(c *Config) []string { return c.UDP }, bindUDP},
	{"tcp", func(c *Config) []string { return c.TCP }, bindTCP},
	{"dot", func(c *Config) []string { return c.DoT }, bindDoT},
	{"doh", func(c *Config) []string { return c.DoH }, bindDoH},
	{"doq", func(c *Config) []string { return c.DoQ }, bindDoQ},
	{"http", func(c *Config) []string { return c.HTTP }, bindHTTP},
}

// bindFunc binds what addr, as host:port, stands for, or nothing.
type bindFunc func(addr string, cfg *Config, r Resolver) ([]listener, error)

// Bound is an address that a Set is bound to.
type Bound struct {
	Transport string // udp, tcp, dot, doh, doq, http; HTTP/3 appears as doh3
	Addr      net.Addr
}

// Set is every listener of one server. Its methods are safe for concurrent use.
type Set struct {
	guard      *guard
	latest     atomic.Pointer[Config]
	worker     atomic.Int64 // the next Query.Worker
	drops      drops
	faults     faults
	dismissals dismissals
	gate       *handshakeGate
	quicGate   *handshakeGate

	mu       sync.Mutex
	sites    []*site         // in force, in the order of the settings
	draining []*site         // removed, and not done yet
	serving  context.Context // nil before Serve and after its end
	ended    bool            // Serve has begun to end
	fail     context.CancelCauseFunc
	errs     []error // why listeners stopped by themselves
	running  sync.WaitGroup
}

// site is one address of one transport, with what listens on it: two sockets
// for DoH, one for the others.
type site struct {
	siteKey
	entries []entry
	removed bool               // by a change; guarded by Set.mu
	stop    context.CancelFunc // nil: it does not serve
	done    chan struct{}      // closed when it has drained
}

// siteKey is what makes two sites the same one.
type siteKey struct {
	transport string
	addr      netip.AddrPort // port 0: whichever was free
	nth       int            // of equal ones, which only port 0 allows
}

type entry struct {
	transport string
	listener
}

// Bind binds every address of cfg, or none: when one can't be bound the others
// are closed again and the error names each address that failed.
func Bind(cfg Config, r Resolver) (*Set, error) {
	cfg = cfg.withDefaults()
	cfg.tellIPv6()
	s := &Set{guard: &guard{resolver: r, log: cfg.Log}, gate: newHandshakeGate(cfg.Log), quicGate: newHandshakeGate(cfg.Log)}
	s.faults.log, s.dismissals.log = cfg.Log, cfg.Log
	s.latest.Store(&cfg) // so that listeners find one before the change is applied
	change, err := s.Prepare(cfg)
	if err != nil {
		s.gate.close()
		s.quicGate.close()
		return nil, err
	}
	change.Apply()
	return s, nil
}

// Bound lists what the set is bound to, in the order of the settings.
func (s *Set) Bound() []Bound {
	s.mu.Lock()
	defer s.mu.Unlock()
	return boundOf(s.sites)
}

// Timeouts are those that hold for what begins now.
func (s *Set) Timeouts() Timeouts { return s.latest.Load().Timeouts }

// Panics is how many queries ended in a panic of the resolver since Bind. Such a
// query gets no answer and reaches no counter of the resolver's.
func (s *Set) Panics() uint64 { return s.guard.panics.Load() }

// Faults is how many other panics there were since Bind: each cost the connection
// that it came from, or a round of datagrams.
func (s *Set) Faults() uint64 { return s.faults.count.Load() }

// Dismissals is how many connections of a transport ended since Bind because too many
// of their requests in a row were refused, or one over TCP and DoT. Those of plain
// HTTP are among DoH's.
func (s *Set) Dismissals(t query.Transport) uint64 { return s.dismissals.counts[t].Load() }

// TurnedAway is how many handshakes of a transport ended since Bind because too many
// waited to be computed. There are such over DoT, DoH, DoH3 and DoQ.
func (s *Set) TurnedAway(t query.Transport) uint64 {
	return s.gate.turnedAway[t].Load() + s.quicGate.turnedAway[t].Load()
}

// HandshakesWaiting is how many TLS and QUIC handshakes wait for a CPU.
func (s *Set) HandshakesWaiting() int { return s.gate.waitingNow() + s.quicGate.waitingNow() }

// Drops is what the kernel dropped at each UDP address since Bind, a second ago
// or less. It is known on Linux only.
func (s *Set) Drops() []Drops { return s.drops.list() }

// Close gives up the sockets of a set that never served.
func (s *Set) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gate.close()
	s.quicGate.close()
	return closeAll(s.sites)
}

func closeAll(sites []*site) error {
	var errs []error
	for _, p := range sites {
		for _, e := range p.entries {
			errs = append(errs, e.close())
		}
	}
	return errors.Join(errs...)
}

// Serve answers queries until ctx ends, then drains every listener at once and
// returns nil. When a listener stops by itself, Serve stops the others and
// returns why. It may be called once.
func (s *Set) Serve(ctx context.Context) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	s.gate.start()
	s.quicGate.start()
	s.mu.Lock()
	s.serving, s.fail = ctx, fail
	for _, p := range s.sites {
		s.start(p)
	}
	s.mu.Unlock()

	<-ctx.Done()
	s.gate.drain()
	s.mu.Lock()
	s.serving, s.ended = nil, true // no site is started from now on
	s.mu.Unlock()
	s.running.Wait()
	s.gate.close()
	s.quicGate.close()
	return errors.Join(s.errs...)
}

// start has p serve. The caller holds mu, and the set serves.
func (s *Set) start(p *site) {
	ctx, stop := context.WithCancel(s.serving)
	p.stop, p.done = stop, make(chan struct{})
	var left sync.WaitGroup
	for _, e := range p.entries {
		left.Add(1)
		s.running.Go(func() {
			defer left.Done()
			if err := s.run(ctx, e); err != nil {
				s.stopped(p, fmt.Errorf("%s %s: %w", e.transport, e.addr(), err))
			}
		})
	}
	s.running.Go(func() {
		left.Wait()
		stop()
		s.forget(p)
		close(p.done)
	})
}

// run is e.serve.
func (s *Set) run(ctx context.Context, e entry) (err error) {
	defer s.faults.stops(&err, e.transport)
	return e.serve(ctx)
}

// stopped takes note of a listener that did not end in order: one that was to
// serve on ends the set, one that was removed costs a line in the log.
func (s *Set) stopped(p *site, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.removed {
		s.latest.Load().Log.Error("a removed listener did not close in order", "error", err)
		return
	}
	s.errs = append(s.errs, err)
	s.fail(err)
}

// forget lets go of a site that was removed and has drained.
func (s *Set) forget(p *site) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.draining, p); i >= 0 {
		s.draining = slices.Delete(s.draining, i, i+1)
	}
}
