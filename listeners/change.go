package listeners

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// Change is another Config for a Set: its new addresses are bound, and nothing
// of it is in force. Whoever prepared it calls Apply or Discard, once.
type Change struct {
	set     *Set
	cfg     *Config
	sites   []*site // all that are to be in force
	added   []*site // those of them that are new
	removed []*site // those of the set that are not among them
}

// Prepare binds the addresses of cfg that the set does not listen on yet, beside
// the others, or none of them: the error names each that can't be bound. One
// that an earlier change removed is waited for until its connections have
// drained, for Timeouts.Shutdown at most.
//
// Of the rest of cfg, Timeouts, Page and what Connections says will hold for
// what begins after Apply, but for HTTP/1.1, whose server has the Timeouts that
// its address was bound with. TLS, QUIC and HTTPHandler are for new addresses,
// Workers for new ones of UDP. Log is that of Bind. There is one Change at a time.
func (s *Set) Prepare(cfg Config) (*Change, error) {
	cfg = cfg.withDefaults()
	cfg.latest, cfg.drops, cfg.faults, cfg.dismissals, cfg.gate, cfg.quicGate = &s.latest, &s.drops, &s.faults, &s.dismissals, s.gate, s.quicGate
	cfg.nextWorker = func() int { return int(s.worker.Add(1)) - 1 }
	c := &Change{set: s, cfg: &cfg}
	s.mu.Lock()
	c.removed = slices.Clone(s.sites)
	s.mu.Unlock()
	wanted, err := wantedSites(&cfg)
	errs := []error{err}
	var failed []wantedSite
	for _, w := range wanted {
		if c.keep(w.siteKey) {
			continue
		}
		if err := c.bind(w); err != nil {
			failed = append(failed, w)
			errs = append(errs, err)
		}
	}
	if err := errors.Join(append(errs, c.inTheWay(failed)...)...); err != nil {
		return nil, errors.Join(err, c.Discard())
	}
	return c, nil
}

// wantedSite is a site that a Config has.
type wantedSite struct {
	siteKey
	written string // in the settings
	several bool   // written stands for several addresses
	bind    bindFunc
}

// wantedSites are all sites of cfg. The error is about addresses that mean
// nothing.
func wantedSites(cfg *Config) (out []wantedSite, err error) {
	var errs []error
	count := map[siteKey]int{}
	for _, t := range transports {
		for _, written := range t.addrs(cfg) {
			addrs, err := addresses(written)
			if err != nil {
				errs = append(errs, fmt.Errorf("listen %s %s: %w", t.name, written, err))
			}
			for _, addr := range addrs {
				key := siteKey{transport: t.name, addr: addr}
				nth := count[key]
				count[key]++
				key.nth = nth
				out = append(out, wantedSite{key, written, len(addrs) > 1, t.bind})
			}
		}
	}
	return out, errors.Join(errs...)
}

// keep takes over the site with key, if the set has it.
func (c *Change) keep(key siteKey) bool {
	for i, p := range c.removed {
		if p.siteKey == key {
			c.sites = append(c.sites, p)
			c.removed = slices.Delete(c.removed, i, i+1)
			return true
		}
	}
	return false
}

// bind binds a site that the set does not have.
func (c *Change) bind(w wantedSite) error {
	c.set.awaitDrained(w.siteKey)
	bound, err := w.bind(w.addr.String(), c.cfg, c.set.guard)
	if err != nil {
		if w.several {
			err = fmt.Errorf("%s: %w", w.addr, err)
		}
		return fmt.Errorf("listen %s %s: %w", w.transport, w.written, err)
	}
	p := &site{siteKey: w.siteKey}
	for _, l := range bound {
		name := w.transport
		if _, ok := l.(h3Listener); ok {
			name = "doh3"
		}
		p.entries = append(p.entries, entry{name, l})
	}
	c.sites, c.added = append(c.sites, p), append(c.added, p)
	return nil
}

// inTheWay tells which addresses that are to go keep new ones from being bound:
// they are kept until all new ones are.
func (c *Change) inTheWay(failed []wantedSite) (errs []error) {
	for _, p := range c.removed {
		for _, w := range failed {
			if p.overlaps(w.siteKey) {
				errs = append(errs, fmt.Errorf("listen %s %s: it would be removed, and is kept until %s %s is bound, which overlaps with it; hint: restart, or remove the one before the other is added",
					p.transport, p.addr, w.transport, w.addr))
			}
		}
	}
	return errs
}

// overlaps tells whether two sites can't have their sockets at the same time.
func (k siteKey) overlaps(other siteKey) bool {
	return k.addr.Port() != 0 && k.addr.Port() == other.addr.Port() && k.protocols()&other.protocols() != 0 && sameHost(k.addr.Addr(), other.addr.Addr())
}

// sameHost tells whether a socket bound to one address is in the way of another:
// it is the same one, or one of them stands for all of its family.
func sameHost(a, b netip.Addr) bool {
	return a == b || a.Is4() == b.Is4() && (a.IsUnspecified() || b.IsUnspecified())
}

// What a site is bound for.
const (
	overUDP = 1 << iota
	overTCP
)

func (k siteKey) protocols() int {
	switch k.transport {
	case "udp", "doq":
		return overUDP
	case "doh":
		return overUDP | overTCP
	}
	return overTCP
}

// awaitDrained returns when no removed site with an address in the way of key
// is left.
func (s *Set) awaitDrained(key siteKey) {
	s.mu.Lock()
	draining := slices.Clone(s.draining)
	s.mu.Unlock()
	for _, p := range draining {
		if p.overlaps(key) {
			<-p.done
		}
	}
}

// Apply puts the change into force: what is new begins to serve, if the set
// does, and what is removed drains by itself, as it would when the set stops. When the
// set has stopped meanwhile, the new addresses are given up.
func (c *Change) Apply() {
	s := c.set
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		_ = closeAll(c.added) // of sockets that nobody has used
		return
	}
	s.latest.Store(c.cfg)
	s.sites = c.sites
	if s.serving == nil {
		_ = closeAll(c.removed)
		return
	}
	for _, p := range c.added {
		s.start(p)
	}
	for _, p := range c.removed {
		p.removed = true
		s.draining = append(s.draining, p)
		p.stop()
	}
}

// Discard gives up what Prepare has bound.
func (c *Change) Discard() error { return closeAll(c.added) }

// Added lists what a change begins to listen on, Removed what it ends.
func (c *Change) Added() []Bound { return boundOf(c.added) }

// Removed lists what a change no longer listens on.
func (c *Change) Removed() []Bound { return boundOf(c.removed) }

func boundOf(sites []*site) (out []Bound) {
	for _, p := range sites {
		for _, e := range p.entries {
			out = append(out, Bound{e.transport, e.addr()})
		}
	}
	return out
}
