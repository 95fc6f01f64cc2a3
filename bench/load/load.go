// Package load asks one name server over one transport, as fast as that server
// answers, and counts: how many answers came, how many were missed or wrong,
// and how long they took. The load is closed-loop: a number of queries is
// always on its way, and the next one leaves when an answer arrives. Over UDP
// it may be open-loop instead: so many queries leave in a second.
//
//	Run → one goroutine or more for each connection → Result
//
// It is the generator of bench/compare, and makes the questions of
// bench/instructions. Only loopback addresses are asked.
package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// Config says what to ask, and how.
type Config struct {
	Transport  string         // one of Transports
	Server     netip.AddrPort // on the loopback
	ServerName string         // for SNI; certificates are not verified
	Queries    [][]byte       // wire format, ID 0, asked in turn; not changed

	Connections int           // or sockets, for UDP
	Window      int           // queries on their way on each connection
	Duration    time.Duration // how long new queries are sent
	Resume      bool          // new connections resume the session of an earlier one
	Rate        int           // queries a second over all sockets, for UDP alone; 0: closed-loop
}

// MaxDuration ends every run.
const MaxDuration = time.Minute

// patience is how long an answer may take before its query counts as lost. It
// is long enough for a retransmission of TCP (RFC 6298 §2.4: a second).
const patience = 2 * time.Second

// clients are the ways to ask, by transport. Each asks over one connection
// until ctx ends, or over one after another.
var clients = map[string]func(ctx context.Context, c *Config, n *tally) error{
	"udp":     askUDP,
	"tcp":     askStream,
	"dot":     askStream,
	"doh":     askHTTP2,
	"doh3":    askHTTP3,
	"doq":     askQUIC,
	"new-dot": connectStream,
	"new-doh": connectHTTP2,
	"new-doq": connectQUIC,
}

// Transports are those that a Config may name. For those that begin with
// "new-" each query has a connection of its own.
var Transports = []string{"udp", "tcp", "dot", "doh", "doh3", "doq", "new-dot", "new-doh", "new-doq"}

// Result is what a run counted.
type Result struct {
	Answers uint64        // NOERROR answers to the question that was asked
	Lost    uint64        // queries without an answer, broken connections among them
	Wrong   uint64        // other answers
	Resumed uint64        // new connections that resumed a session
	Elapsed time.Duration // from the first query to the last answer
	Latency Latency
	Problem string // the first one, empty when there was none
}

// Run asks until c.Duration is over, and returns when the last answers are in.
// The error tells what is wrong with c, or that no connection came to be.
func Run(ctx context.Context, c Config) (Result, error) {
	ask := clients[c.Transport]
	switch {
	case ask == nil:
		return Result{}, fmt.Errorf("transport %q: expected one of %v", c.Transport, Transports)
	case !c.Server.Addr().IsLoopback():
		return Result{}, fmt.Errorf("server %s: expected a loopback address", c.Server)
	case len(c.Queries) == 0 || c.Connections < 1 || c.Window < 1 || c.Duration <= 0 || c.Duration > MaxDuration:
		return Result{}, errors.New("expected queries, and connections, window and duration above zero, a minute at most")
	case c.Rate < 0 || c.Rate > 0 && c.Transport != "udp":
		return Result{}, fmt.Errorf("rate %d: expected none, or one above zero over UDP", c.Rate)
	}
	ctx, cancel := context.WithTimeout(ctx, c.Duration)
	defer cancel()
	tallies := make([]tally, c.Connections)
	errs := make([]error, c.Connections)
	begin := time.Now()
	for i := range tallies {
		tallies[i].next = i * len(c.Queries) / c.Connections
	}
	if c.Rate > 0 {
		askPaced(ctx, &c, tallies, errs)
		return sum(tallies, errs, c.Duration)
	}
	var all sync.WaitGroup
	for i := range tallies {
		all.Go(func() { errs[i] = ask(ctx, &c, &tallies[i]) })
	}
	all.Wait()
	return sum(tallies, errs, time.Since(begin))
}

// sum adds what the connections counted.
func sum(tallies []tally, errs []error, elapsed time.Duration) (Result, error) {
	r := Result{Elapsed: elapsed}
	var times histogram
	for i := range tallies {
		n := &tallies[i]
		r.Answers += n.answers
		r.Lost += n.lost
		r.Wrong += n.wrong
		r.Resumed += n.resumed
		times.add(&n.times)
		if errs[i] != nil {
			r.Lost++
			n.problem(errs[i])
		}
		if r.Problem == "" {
			r.Problem = n.first
		}
	}
	r.Latency = times.latency()
	if r.Answers == 0 {
		return r, fmt.Errorf("no answer: %s", r.Problem)
	}
	return r, nil
}

// tally is what one connection counts. Its users agree on who uses it when.
type tally struct {
	next                 int // of Config.Queries
	answers, lost, wrong uint64
	resumed              uint64
	times                histogram
	first                string // problem
}

// query is the next one to ask.
func (n *tally) query(c *Config) []byte {
	q := c.Queries[n.next%len(c.Queries)]
	n.next++
	return q
}

// answer counts a message that came after so long.
func (n *tally) answer(m []byte, after time.Duration) {
	const (
		header   = 12
		response = 0x80
		rcode    = 0x0f
	)
	if len(m) < header || m[2]&response == 0 || m[3]&rcode != 0 {
		n.wrong++
		n.problem(fmt.Errorf("unexpected answer: %.60q", m))
		return
	}
	n.answers++
	n.times.note(after)
}

// connected counts a new connection.
func (n *tally) connected(state tls.ConnectionState) {
	if state.DidResume {
		n.resumed++
	}
}

func (n *tally) problem(err error) {
	if n.first == "" && err != nil {
		n.first = err.Error()
	}
}

// tlsConfig is for transports that are encrypted.
func (c *Config) tlsConfig(alpn string) *tls.Config {
	config := &tls.Config{InsecureSkipVerify: true, ServerName: c.ServerName, NextProtos: []string{alpn}, MinVersion: tls.VersionTLS13,
		// What most clients of DNS offer; a hybrid one costs every server some 60 µs more.
		CurvePreferences: []tls.CurveID{tls.X25519}}
	if c.Resume {
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	return config
}
