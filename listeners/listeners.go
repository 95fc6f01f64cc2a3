// Package listeners is how queries arrive: it turns datagrams, streams and
// HTTP requests into [query.Query] values and sends back what a resolver
// answers. It knows sockets and framing, and nothing of DNS beyond the
// two-byte length (RFC 1035 §4.2.2).
//
//	socket → listener → query.Query → Resolver.Resolve → bytes → socket
//
// Start at [Bind]: it binds every address first, or none of them, so that a
// mistake in the settings never leaves a server half up; [Set.Serve] then runs
// until its context ends and drains. [Set.Prepare] takes another Config while it
// serves: addresses that stay keep their sockets and their connections.
package listeners

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
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
	// /dns-query. Nil: they get 404. Over HTTP/2 it gets no body, and what it
	// answers is sent when it has returned.
	Page http.Handler

	// Connections limits connections. Nil: there are no limits.
	Connections Connections

	// Requests decides whether an HTTP request is answered that carries no DNS
	// query, and charges a DoQ stream without one: the resolver gets to know nothing
	// of them. Nil: all are. Many goroutines call it at once.
	Requests func(now time.Time, client netip.AddrPort, t query.Transport) bool

	// Inherited are sockets that this process was started with. Addresses that
	// they are bound to are not bound again: the sockets are used. Nil: there are none.
	Inherited *Inherited

	// Overlap is for a server that takes over from another process of the same
	// user, which has the same addresses: both answer until the older one stops.
	// Without, an address that any other process has is an error. Linux only.
	Overlap bool

	Workers  int // UDP workers for each address; 0: one a CPU
	Timeouts Timeouts

	Log *slog.Logger // nil: slog.Default()

	// Set by Bind.
	nextWorker func() int              // hands out Query.Worker from 0 on
	latest     *atomic.Pointer[Config] // the one in force, shared by all listeners of a Set
	drops      *drops                  // of all UDP addresses of a Set; nil: not counted
	faults     *faults                 // of all listeners of a Set; nil: not counted
	dismissals *dismissals             // of all listeners of a Set; nil: not counted
	gate       *handshakeGate          // of all listeners of a Set; nil: handshakes are computed as they come
	quicGate   *handshakeGate          // the same, for QUIC
}

// now is the Config that holds for what begins now: another one than cfg, which
// a listener was bound with, after a change. Of it Timeouts, Page and Requests
// may have changed, and what Connections says; the rest stays with the socket.
func (cfg *Config) now() *Config {
	if cfg.latest == nil {
		return cfg
	}
	return cfg.latest.Load()
}

// admits asks Requests.
func (cfg *Config) admits(client netip.AddrPort, t query.Transport, now time.Time) bool {
	may := cfg.now().Requests
	return may == nil || may(now, client, t)
}

// withDefaults returns a copy of cfg with what nil and zero stand for.
func (cfg Config) withDefaults() Config {
	cfg.Timeouts = cfg.Timeouts.withDefaults()
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	return cfg
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
// that makes one of these, and a row in transports.
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
