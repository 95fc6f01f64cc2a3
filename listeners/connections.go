package listeners

import (
	"net/netip"
	"time"
)

// Connections decides which connections there may be, those of TCP, DoT, DoH,
// DoH3, DoQ and plain HTTP together. Implementations are called by many
// goroutines at once, and from where connections are accepted: no method may
// wait.
//
// But for Newcomer the addresses are proved: by TCP's handshake, or QUIC's, or a
// token.
type Connections interface {
	// Open accounts for a connection from addr. It returns nil when the
	// connection is to be closed at once. Evict is called, at most once, when
	// the connection has to make room for another; it does not wait.
	Open(now time.Time, addr netip.Addr, evict func()) Connection

	// Handshake charges the client at addr for a full TLS handshake, Resume
	// for one that resumes a session. When they return false the handshake is
	// broken off.
	Handshake(now time.Time, addr netip.Addr) bool
	Resume(now time.Time, addr netip.Addr) bool

	// Newcomer tells whether a QUIC client that claims to be at addr may begin
	// a handshake before it has proved that. Otherwise it has to do so first,
	// at the price of a round trip.
	Newcomer(now time.Time, addr netip.Addr) bool

	// Idle is for how long a connection may stay idle from now on.
	Idle() time.Duration

	// Age is the longest life of a connection, 0 without a limit. A connection
	// without queries, of which Touch would tell, ends then by itself.
	Age() time.Duration

	// Streams is how many queries one connection may have in flight over
	// HTTP/2, HTTP/3 and DoQ, 0 the default of this package. It is asked when
	// an address is bound. TCP and DoT answer one query after another: what
	// has not been answered lies with the client or in the kernel.
	Streams() int
}

// Connection is the account of one connection.
type Connection interface {
	// Touch notes that a complete message arrived, and tells whether there may
	// be another one. If not, the connection ends with the answer to this one.
	Touch(now time.Time) (more bool)

	// Close ends the account. It may be called twice.
	Close()
}

// maxStreams is the default of Connections.Streams: what browsers and resolvers
// are known to cope with, and RFC 9113 §6.5.2's advice not to go below.
const maxStreams = 100

// connections returns the accounts to ask, which are none without Connections.
func (cfg *Config) connections() Connections {
	if cfg.Connections == nil {
		return unlimited{cfg.Timeouts.Idle}
	}
	return cfg.Connections
}

// streams is how many queries one connection may have in flight.
func (cfg *Config) streams() int {
	if n := cfg.connections().Streams(); n > 0 {
		return n
	}
	return maxStreams
}

// unlimited lets everybody in. It implements Connections and Connection.
type unlimited struct{ idle time.Duration }

func (u unlimited) Open(time.Time, netip.Addr, func()) Connection { return u }
func (u unlimited) Handshake(time.Time, netip.Addr) bool          { return true }
func (u unlimited) Resume(time.Time, netip.Addr) bool             { return true }
func (u unlimited) Newcomer(time.Time, netip.Addr) bool           { return true }
func (u unlimited) Idle() time.Duration                           { return u.idle }
func (u unlimited) Age() time.Duration                            { return 0 }
func (u unlimited) Streams() int                                  { return 0 }
func (u unlimited) Touch(time.Time) bool                          { return true }
func (u unlimited) Close()                                        {}
