// Package audit finds out whether a domain is protected as a parked domain is
// to be: whether its delegation works, and whether its records keep others from
// sending mail in its name (RFC 7505, 7208, 9989).
//
// Start at [New] and [Audit.Domain]. What is asked, how it is judged and what
// is to be done are the tables in checks.go; gather.go asks, from the parent
// zone down or of one server, and judge_*.go judge what came back, without
// asking anything.
//
// The package resolves nothing itself: names that are not the domain's own it
// asks of a resolver. It trusts nobody: what it reads is bounded in size, in
// number and in time, and fit to print in the report.
package audit

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"net/netip"
	"time"

	"domainpark/query"
)

// Config says how domains are audited.
type Config struct {
	// Server is asked instead of the name servers that a domain is delegated
	// to. The zero value: those, from the parent zone down.
	Server Server

	// Transport is how the records are asked for. The zero value is UDP.
	Transport query.Transport

	// Resolvers are recursive, asked in their order until one answers. Without
	// one, only what Server says can be judged.
	Resolvers []netip.AddrPort

	// Timeout is how long a question may take, repetitions included. Zero: 5 s,
	// what resolvers themselves wait for.
	Timeout time.Duration

	// Questions is how many may be under way for one domain. Zero: 16.
	Questions int

	// Roots are the authorities that certificates are verified by. Nil: the
	// system's.
	Roots *x509.CertPool

	// TLSName is what certificates have to name, instead of the name or address
	// of the server. Empty: that.
	TLSName string
}

// Server is a name server.
type Server struct {
	Name string // its host name; empty: it has none that is known
	Addr netip.AddrPort
}

// domainTime is how long one domain may take, in time-outs of one question: a
// server that answers the first question and no other costs as much.
const domainTime = 12

// Audit audits domains. It may be used by many goroutines at once.
type Audit struct {
	cfg     Config
	client  *client
	parents memo[string, parentZone] // by name of what they may be asked for
	offers  memo[endpoint, offer]
	ports   [query.Transports]uint16 // of name servers
	random  func() string            // a label that no zone has
}

// New returns an Audit. Its Close is to be called in the end.
func New(cfg Config) *Audit {
	if cfg.Timeout <= 0 {
		cfg.Timeout = 5 * time.Second
	}
	if cfg.Questions <= 0 {
		cfg.Questions = 16
	}
	return &Audit{
		cfg:    cfg,
		client: newClient(cfg.Timeout, cfg.Roots, cfg.TLSName),
		ports: [query.Transports]uint16{
			query.UDP: 53, query.TCP: 53, query.DoT: 853, query.DoH: 443, query.DoH3: 443, query.DoQ: 853,
		},
		random: randomLabel,
	}
}

// Close closes the connections to servers. No domain is being audited any more.
func (a *Audit) Close() { a.client.close() }

// randomLabelBytes is the length of a label that nobody chose: 26^12 of them.
const randomLabelBytes = 12

func randomLabel() string {
	label := make([]byte, randomLabelBytes)
	rand.Read(label)
	for i, b := range label {
		label[i] = 'a' + b%26
	}
	return string(label)
}

// Domain audits one domain, which [Name] returned. It ends soon after ctx does,
// with what is known then; ctx tells whether that is all.
func (a *Audit) Domain(ctx context.Context, domain string) *Report {
	ctx, cancel := context.WithTimeout(ctx, domainTime*a.cfg.Timeout)
	defer cancel()
	return judge(a.gather(ctx, domain))
}

// resolve asks the resolvers, until one answers.
func (a *Audit) resolve(ctx context.Context, name string, qtype uint16) answer {
	m := question(name, qtype, true)
	m.IsEdns0().SetDo() // so that AD says whether it verified (RFC 6840 §5.7)
	last := answer{err: errNoResolver}
	for _, addr := range a.cfg.Resolvers {
		r, err := a.client.ask(ctx, endpoint{query.UDP, addr, ""}, m)
		if err == nil {
			return answer{msg: r}
		}
		last = answer{err: fmt.Errorf("resolver %s: %w", addr.Addr(), err)}
	}
	return last
}
