package policy

import (
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"
)

// Config says who is answered and how much. The names of its fields are those
// of the settings under "policy". New and Reload copy what they keep.
type Config struct {
	Allow []netip.Prefix // when not empty, only these clients are answered
	Deny  []netip.Prefix // these are not
	Trust []netip.Prefix // these are exempt from limits, not from Deny

	Requests    Requests
	Responses   Responses
	Cookies     Cookies
	Connections ConnectionLimits

	Log *slog.Logger // nil: slog.Default()
}

// Requests limits the queries of one client, an IPv4 address or the /64 of an
// IPv6 address: over UDP, where the address may be a lie, and apart from that
// over all other transports together.
type Requests struct {
	Rate  int // a second; zero: no limit
	Burst int // at once; zero: as many as Rate
}

// Responses limits the UDP answers to clients that have not shown a valid
// cookie. Rates are what one client gets a second; its prefix gets four times
// as much, the network around that sixteen times.
type Responses struct {
	Rate       int  // answers of one class from one base; zero: no limit
	Errors     int  // REFUSED, FORMERR, NOTIMP …, whatever the base; zero: as Rate
	All        int  // answers of any kind; zero: no limit
	Slip       int  // every n-th limited answer is sent truncated; zero: none, 1: all
	IPv4Prefix int  // bits, 8 to 32; zero: 24
	IPv6Prefix int  // bits, 32 to 64; zero: 56
	Table      int  // buckets kept, 105 bytes each; zero: 100000
	DryRun     bool // count and log, limit nothing
}

// Cookies says with which secrets DNS cookies are made.
type Cookies struct {
	// Require answers BADCOOKIE, or TC=1 to clients that know no cookies,
	// until a UDP client has shown a valid one.
	Require bool

	// Secrets are 32 hex digits each. The first makes cookies, all of them
	// are accepted, so that they can be changed one server at a time (RFC
	// 9018 §5).
	Secrets []string

	// Derive returns the secret of the day, in UTC, that a time lies in; the
	// first 16 bytes are used. It is called by New, and once a day while a
	// query waits. It is not called when there are Secrets. Nil: a secret that ends
	// with the process.
	Derive func(day time.Time) [32]byte
}

// random tells whether the secret is one that nobody else knows.
func (c *Cookies) random() bool { return len(c.Secrets) == 0 && c.Derive == nil }

// ConnectionLimits bounds what connections cost, those of TCP, DoT, DoH, DoH3
// and DoQ counted together. Zero is no limit, for each of them.
type ConnectionLimits struct {
	Total       int // open
	PerClient   int // open, of one IPv4 address or one IPv6 prefix
	Handshakes  int // full TLS and QUIC handshakes a second of one client
	Resumptions int // resumed ones
	Streams     int // queries in flight on one connection
	Queries     int // on one connection before it is closed
	Age         time.Duration
	Idle        time.Duration // the longest that an idle connection is kept; zero: 10 s

	// AdmitDenied lets clients of Deny connect, and those that Allow leaves
	// out. Their queries are denied all the same. A CA that comes to look at an
	// ACME challenge may be anywhere.
	AdmitDenied bool

	IPv4Prefix int // bits of an address that are one client; zero: 32
	IPv6Prefix int // zero: 56, what one site usually has (RFC 6177 §2)
}

// Error is one mistake in a Config. New and Reload return all of them, joined.
type Error struct {
	Field  string // as in the settings, without "policy."
	Reason string // what was found and what is expected
}

func (e *Error) Error() string { return e.Field + ": " + e.Reason }

const (
	defaultIPv4Prefix = 24
	defaultIPv6Prefix = 56
	defaultTable      = 100000
	defaultIdle       = 10 * time.Second

	// maxRate keeps sixteen times a rate far from what a float counts exactly.
	maxRate = 1_000_000_000
	// maxTable is about 10 GB.
	maxTable = 100_000_000
)

// Check returns what New and Reload would say of c.
func (c Config) Check() error {
	c = c.withDefaults()
	return c.validate()
}

// withDefaults fills in what zero stands for.
func (c Config) withDefaults() Config {
	def := func(field *int, v int) {
		if *field == 0 {
			*field = v
		}
	}
	def(&c.Requests.Burst, c.Requests.Rate)
	def(&c.Responses.IPv4Prefix, defaultIPv4Prefix)
	def(&c.Responses.IPv6Prefix, defaultIPv6Prefix)
	def(&c.Responses.Table, defaultTable)
	def(&c.Connections.IPv4Prefix, int(clientLength[ipv4]))
	def(&c.Connections.IPv6Prefix, defaultIPv6Prefix)
	if c.Connections.Idle == 0 {
		c.Connections.Idle = defaultIdle
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c
}

// validate checks a Config whose defaults are filled in and reports every
// mistake.
func (c *Config) validate() error {
	var errs []error
	for _, n := range []struct {
		field     string
		v, lo, hi int
	}{
		{"requests.rate", c.Requests.Rate, 0, maxRate},
		{"requests.burst", c.Requests.Burst, 0, maxRate},
		{"responses.rate", c.Responses.Rate, 0, maxRate},
		{"responses.errors", c.Responses.Errors, 0, maxRate},
		{"responses.all", c.Responses.All, 0, maxRate},
		{"responses.slip", c.Responses.Slip, 0, maxRate},
		{"responses.ipv4prefix", c.Responses.IPv4Prefix, 8, 32},
		{"responses.ipv6prefix", c.Responses.IPv6Prefix, 32, 64},
		{"responses.table", c.Responses.Table, 1, maxTable},
		{"connections.total", c.Connections.Total, 0, maxRate},
		{"connections.perclient", c.Connections.PerClient, 0, maxRate},
		{"connections.handshakes", c.Connections.Handshakes, 0, maxRate},
		{"connections.resumptions", c.Connections.Resumptions, 0, maxRate},
		{"connections.streams", c.Connections.Streams, 0, maxRate},
		{"connections.queries", c.Connections.Queries, 0, maxRate},
		{"connections.ipv4prefix", c.Connections.IPv4Prefix, 8, 32},
		{"connections.ipv6prefix", c.Connections.IPv6Prefix, 32, 64},
	} {
		if n.v < n.lo || n.v > n.hi {
			errs = append(errs, &Error{n.field, fmt.Sprintf("%d: expected %d to %d", n.v, n.lo, n.hi)})
		}
	}
	for _, d := range []struct {
		field string
		v     time.Duration
	}{
		{"connections.age", c.Connections.Age},
		{"timeouts.idle", c.Connections.Idle},
	} {
		if d.v < 0 {
			errs = append(errs, &Error{d.field, fmt.Sprintf("%s: expected no negative duration", d.v)})
		}
	}
	for i, s := range c.Cookies.Secrets {
		if _, err := parseSecret(s); err != nil {
			errs = append(errs, &Error{"cookies.secret", fmt.Sprintf("secret %d of %d: %v", i+1, len(c.Cookies.Secrets), err)})
		}
	}
	for _, list := range []struct {
		field    string
		prefixes []netip.Prefix
	}{{"allow", c.Allow}, {"deny", c.Deny}, {"trust", c.Trust}} {
		for _, p := range list.prefixes {
			if !p.IsValid() {
				errs = append(errs, &Error{list.field, "an invalid prefix: expected an address with a length, such as 192.0.2.0/24"})
			}
		}
	}
	return errors.Join(errs...)
}

// parseSecret reads 32 hex digits. The error does not repeat them: it may end
// up in a log.
func parseSecret(s string) (secret, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != secretBytes {
		return secret{}, fmt.Errorf("%d characters, expected %d hex digits, as from: openssl rand -hex %d", len(s), 2*secretBytes, secretBytes)
	}
	return secretOf(b), nil
}
