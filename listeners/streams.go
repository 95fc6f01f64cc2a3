package listeners

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"domainpark/query"
)

const (
	// lastLook is how long a server that stops still takes in what is on its
	// way: connections that the kernel has queued, queries on idle connections.
	lastLook = 50 * time.Millisecond

	// quiet is how long nothing must have come behind an answer for a server that
	// stops to end the connection before lastLook is over. Clients that ask every
	// few milliseconds are ended in the middle between two queries then: one that
	// crosses the end on its way is lost for those that do not ask again, as
	// RFC 7766 §6.2.4 wants them to. (dnsperf does not.)
	quiet = 2 * time.Millisecond

	// secondLook is how long a server that stops looks at a connection once more before
	// it ends it. Reads whose deadline has passed tell nothing about what has
	// arrived, and on a machine that is busy they may be late.
	secondLook = time.Millisecond

	// acceptRetry and acceptRetryMost bound the pause after an accept that
	// failed, usually for want of descriptors. It doubles; net/http has the same.
	acceptRetry     = 5 * time.Millisecond
	acceptRetryMost = time.Second
)

// streams is one address on which messages come over connections: TCP, or DoT
// when secure is set. Each connection has a goroutine and nothing else.
type streams struct {
	ln        streamListener
	transport query.Transport
	secure    func(net.Conn) *tls.Conn // puts TLS in front; nil: plain TCP
	cfg       *Config
	resolver  Resolver
	accounts  Connections
	log       *slog.Logger
	lines     throttle

	secured  handshakers
	doorstep doorstep       // of whoever calls start
	running  sync.WaitGroup // open connections
	mu       sync.Mutex
	open     map[*stream]struct{}

	// Set by drain, before draining.
	drainedAt time.Time
	lookUntil time.Time
	endBy     time.Time
	draining  atomic.Bool
}

// streamListener is a net.TCPListener.
type streamListener interface {
	net.Listener
	SetDeadline(time.Time) error
}

func newStreams(ln streamListener, t query.Transport, cfg *Config, r Resolver) *streams {
	return &streams{
		ln:        ln,
		transport: t,
		cfg:       cfg,
		resolver:  r,
		accounts:  cfg.connections(),
		log:       cfg.Log,
		open:      make(map[*stream]struct{}),
		secured:   make(handshakers),
	}
}

// timeouts are those in force.
func (s *streams) timeouts() *Timeouts { return &s.cfg.now().Timeouts }

// addr implements listener.
func (s *streams) addr() net.Addr { return s.ln.Addr() }

// close implements listener.
func (s *streams) close() error { return s.ln.Close() }

// serve implements listener.
func (s *streams) serve(ctx context.Context) error {
	drain := sync.OnceFunc(s.drain)
	defer context.AfterFunc(ctx, drain)()
	err := s.accept(ctx)
	drain()
	closed := s.ln.Close()
	s.wait()
	return errors.Join(err, closed)
}

// accept starts a connection's goroutine for each that arrives. It ends when
// ctx has ended and nothing more is queued, or when the socket is lost.
func (s *streams) accept(ctx context.Context) error {
	pause := acceptRetry
	for {
		if s.secure != nil {
			select {
			case <-s.cfg.gate.hasRoom():
			case <-ctx.Done():
			}
		}
		raw, err := s.ln.Accept()
		switch {
		case err == nil:
			pause = acceptRetry
			s.start(raw)
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		default:
			s.complain(err)
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
			pause = min(2*pause, acceptRetryMost)
		}
	}
}

func (s *streams) complain(err error) {
	if left, ok := s.lines.allow(time.Now(), complainEvery); ok {
		s.log.Warn("can't accept connections, trying on; hint: raise the limit of open files (LimitNOFILE=)",
			"transport", s.transport.String(), "listener", s.ln.Addr().String(), "error", err, "more", left)
	}
}

// start registers a connection and serves it, or closes it at once. One goroutine
// calls it.
func (s *streams) start(raw net.Conn) {
	c := &stream{
		server: s,
		raw:    newSocket(raw, s.timeouts().Write),
		client: remote(raw),
	}
	defer s.rejected(c)
	now := time.Now()
	if age := s.accounts.Age(); age > 0 {
		c.over = now.Add(age)
	}
	c.account = s.accounts.Open(now, c.client.Addr(), c.evict)
	if c.account == nil {
		_ = raw.Close()
		return
	}
	if s.secure != nil && !c.greet(&s.doorstep) {
		c.account.Close()
		_ = raw.Close()
		return
	}
	c.shaking.Store(s.secure != nil)
	s.mu.Lock()
	s.open[c] = struct{}{}
	s.mu.Unlock()
	s.running.Add(1) // until finish
	switch {
	case s.secure == nil:
		go c.run()
	case !s.secured.begin(c):
		go s.secured.work(c)
	}
}

// rejected is for the deferred call of start, whose panic costs the connection
// that it was to start. No goroutine has that one yet.
func (s *streams) rejected(c *stream) {
	cause := recover()
	if cause == nil {
		return
	}
	s.cfg.faults.note(cause, s.transport.String(), c.client)
	defer func() { _ = recover() }() // what panicked may be what closes; that is noted
	c.stuck = true
	c.close()
	if c.account != nil {
		c.account.Close()
	}
}

// finish closes a connection and forgets it, whatever closing comes to.
func (s *streams) finish(c *stream) {
	defer s.running.Done()
	defer s.forget(c)
	defer c.faulted()
	defer c.account.Close()
	c.close()
}

func (s *streams) forget(c *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

// idle is how long a connection may now stay idle.
func (s *streams) idle() time.Duration { return s.accounts.Idle() }

// keepalive is what clients are told about idle (RFC 7828 §3.3.2). A server that
// stops asks them to go, by a timeout of zero.
func (s *streams) keepalive() time.Duration {
	if s.draining.Load() {
		return 0
	}
	return s.idle()
}

// drain tells every connection, and the accept loop, that the end is near.
func (s *streams) drain() {
	now := time.Now()
	s.drainedAt = now
	s.lookUntil = now.Add(min(lastLook, s.timeouts().Shutdown))
	s.endBy = now.Add(s.timeouts().Shutdown)
	s.draining.Store(true)
	_ = s.ln.SetDeadline(now.Add(s.cfg.acceptFor(s.transport.String(), s.ln.Addr())))
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		if !c.shaking.Load() { // its own deadline holds, and endBy when it is done
			_ = c.raw.SetReadDeadline(s.lookUntil)
		}
	}
}

// wait returns when all connections have ended, and ends by force those that
// have not by endBy.
func (s *streams) wait() {
	force := time.AfterFunc(time.Until(s.endBy), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.open {
			c.evict()
		}
	})
	defer force.Stop()
	s.running.Wait()
}

// remote is the address of a TCP or QUIC client, an IPv4 one never IPv6-mapped.
func remote(c interface{ RemoteAddr() net.Addr }) netip.AddrPort { return addrOf(c.RemoteAddr()) }

func addrOf(addr net.Addr) netip.AddrPort {
	known, ok := addr.(interface{ AddrPort() netip.AddrPort })
	if !ok {
		return netip.AddrPort{}
	}
	a := known.AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
