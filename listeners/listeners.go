// Package listeners is how queries arrive: it turns datagrams, streams and
// HTTP requests into [query.Query] values and sends back what a resolver
// answers. It knows sockets and framing, and nothing of DNS beyond the
// two-byte length (RFC 1035 §4.2.2).
//
//	socket → listener → query.Query → Resolver.Resolve → bytes → socket
//
// Start at [Bind]: it binds every address first, or none of them, so that a
// mistake in the settings never leaves a server half up; [Set.Serve] then runs
// until its context ends and drains.
package listeners

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"domainpark/query"
)

// Resolver answers queries. Implementations are called by many goroutines at
// once, each with a Query of its own.
type Resolver interface {
	// Resolve appends the answer to dst and returns it; when nothing was
	// appended, nothing is to be sent. It does not keep dst or q.
	Resolve(dst []byte, q *query.Query) []byte
}

// Config says where to listen. Addresses are host:port, an empty host meaning
// every address of the machine; an empty list turns a transport off. An IPv6
// address takes no IPv4, not even [::]: so that 0.0.0.0 and [::] can both be
// listed, and a client's address never appears in IPv6-mapped form.
type Config struct {
	UDP, TCP, DoT, DoH, DoQ []string
	HTTP                    []string // plain HTTP, for ACME http-01 only

	// TLS is cloned for each encrypted transport, which sets its own ALPN
	// names. Nil is legal only when DoT, DoH and DoQ are empty.
	TLS *tls.Config

	// QUIC holds the secrets of DoQ and HTTP/3.
	QUIC QUICKeys

	// HTTPHandler answers on the HTTP addresses. Nil is legal only when there are none.
	HTTPHandler http.Handler

	// Page answers HTTP requests on the DoH addresses for every path but
	// /dns-query. Nil: they get 404.
	Page http.Handler

	// Connections limits connections. Nil: there are no limits.
	Connections Connections

	Workers  int // UDP workers for each address; 0: one a CPU
	Timeouts Timeouts

	Log *slog.Logger // nil: slog.Default()

	nextWorker func() int // hands out Query.Worker from 0 on; set by Bind
}

// Timeouts bound how long a client may keep something busy. Each is absolute:
// a byte that arrives does not extend it. Zero takes the default.
type Timeouts struct {
	Handshake time.Duration // TLS or QUIC handshake; default 3 s
	Message   time.Duration // a message, from its first byte to its last; default 3 s
	Idle      time.Duration // between messages; default 10 s (RFC 7766 §6.2.3 asks for seconds, not minutes)
	Write     time.Duration // for the client to take an answer; default 3 s
	Shutdown  time.Duration // for all connections together to drain; default 5 s
}

func (t Timeouts) withDefaults() Timeouts {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&t.Handshake, 3*time.Second)
	def(&t.Message, 3*time.Second)
	def(&t.Idle, 10*time.Second)
	def(&t.Write, 3*time.Second)
	def(&t.Shutdown, 5*time.Second)
	return t
}

// listener is one bound address of one transport. A new transport is a file
// that makes one of these, and a row in Bind.
type listener interface {
	// serve answers until ctx ends, then drains: it takes no new work,
	// finishes what it has and returns within Timeouts.Shutdown. It returns
	// nil after a drain and otherwise what made it stop. It closes the socket.
	serve(ctx context.Context) error
	// close gives up the socket of a listener that never served.
	close() error
	// addr is the address it is bound to, the port filled in.
	addr() net.Addr
}

// Bound is an address that a Set is bound to.
type Bound struct {
	Transport string // udp, tcp, dot, doh, doq, http; HTTP/3 appears as doh3
	Addr      net.Addr
}

// Set is every listener of one server.
type Set struct {
	cfg     Config
	guard   *guard
	entries []entry
}

type entry struct {
	transport string
	listener
}

// Bind binds every address of cfg, or none: when one can't be bound the others
// are closed again and the error names each address that failed.
func Bind(cfg Config, r Resolver) (*Set, error) {
	cfg.Timeouts = cfg.Timeouts.withDefaults()
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	cfg.tellIPv6()
	workers := 0
	cfg.nextWorker = func() int { workers++; return workers - 1 }
	s := &Set{cfg: cfg, guard: &guard{resolver: r, log: cfg.Log}}
	var errs []error
	for _, t := range []struct {
		name  string
		addrs []string
		bind  func(addr string, cfg *Config, r Resolver) ([]listener, error)
	}{
		{"udp", cfg.UDP, bindUDP},
		{"tcp", cfg.TCP, bindTCP},
		{"dot", cfg.DoT, bindDoT},
		{"doh", cfg.DoH, bindDoH},
		{"doq", cfg.DoQ, bindDoQ},
		{"http", cfg.HTTP, bindHTTP},
	} {
		for _, addr := range t.addrs {
			ls, err := t.bind(addr, &s.cfg, s.guard)
			if err != nil {
				errs = append(errs, fmt.Errorf("listen %s %s: %w", t.name, addr, err))
				continue
			}
			for _, l := range ls {
				name := t.name
				if _, ok := l.(h3Listener); ok {
					name = "doh3"
				}
				s.entries = append(s.entries, entry{name, l})
			}
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(append(errs, s.Close())...)
	}
	return s, nil
}

// Bound lists what the set is bound to, in the order of the settings.
func (s *Set) Bound() []Bound {
	var out []Bound
	for _, e := range s.entries {
		out = append(out, Bound{e.transport, e.addr()})
	}
	return out
}

// Panics is how many queries ended in a panic of the resolver since Bind. Such a
// query gets no answer and reaches no counter of the resolver's. Safe for
// concurrent use.
func (s *Set) Panics() uint64 { return s.guard.panics.Load() }

// Close gives up the sockets of a set that never served.
func (s *Set) Close() error {
	var errs []error
	for _, e := range s.entries {
		errs = append(errs, e.close())
	}
	return errors.Join(errs...)
}

// Serve answers queries until ctx ends, then drains every listener at once and
// returns nil. When a listener stops by itself, Serve stops the others and
// returns why. It may be called once.
func (s *Set) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	errs := make([]error, len(s.entries))
	for i, e := range s.entries {
		wg.Go(func() {
			if err := e.serve(ctx); err != nil {
				errs[i] = fmt.Errorf("%s %s: %w", e.transport, e.addr(), err)
				cancel(errs[i])
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
