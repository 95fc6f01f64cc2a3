package policy

import (
	"sync/atomic"

	"domainpark/query"
)

// Counter is a number that telemetry shows. Names and labels come from closed
// sets: nothing that a client sends gets into them.
type Counter struct {
	Name   string   // without the program's prefix
	Labels []string // name, value, name, value …
	Value  uint64
}

// Names of counters. Those of one name add up to what was asked of that part.
const (
	nameAdmissions = "admissions_total"           // queries by whether they may be answered
	namePages      = "http_requests_total"        // HTTP requests that carry no query, and DoQ streams
	nameCookies    = "cookies_total"              // queries by what their cookie was worth
	nameDemands    = "cookie_demands_total"       // queries that were told to come with a cookie
	nameResponses  = "responses_total"            // answers by what became of them
	nameLimited    = "limited_responses_total"    // answers that a limit met, by the account that refused
	nameEvictions  = "bucket_evictions_total"     // buckets that made room for another, by table
	nameOpenings   = "connection_openings_total"  // connections by whether they were let in
	nameMadeRoom   = "connection_evictions_total" // idle connections closed to let another in
	nameHandshakes = "handshakes_total"           // handshakes by kind and whether they were let through
	nameRetries    = "handshake_retries_total"    // QUIC handshakes that were to prove their address first
	nameUnlogged   = "unlogged_limited_total"     // limited by something that no log line will tell of
)

// outcome is what became of an answer.
type outcome uint8

const (
	outcomeExempt  outcome = iota // no limit holds: a handshake, a cookie or the settings vouch for the client
	outcomeSent                   // within its limits
	outcomeSlipped                // over a limit: truncated
	outcomeDropped                // over a limit
	outcomeSpared                 // over a limit, and sent all the same: dryrun
	outcomes
)

var outcomeNames = [outcomes]string{"exempt", "sent", "slipped", "dropped", "spared"}

// ending is what became of a query that was admitted: what its cookie was worth,
// the class of its answer, classNone when there was none, and the outcome. One
// addition counts all of it, where one for the cookie and one for the answer made
// two locked instructions: a query pays for what it counts, not who reads. What is
// read is a sum of endings, and as none of them goes back, no sum does.
type ending uint8

const endings = 1 << 8

func endingOf(c query.CookieState, cl class, o outcome) ending {
	return ending(c)<<5 | ending(cl)<<3 | ending(o)
}

// shards is how many copies of the counters there are: a power of two, enough
// for a worker a core of the machines that this will run on.
const shards = 64

// counters are written by whoever handles a query, each worker in a shard of
// its own as long as there are fewer than shards of them, and added up when
// somebody reads them. An increment costs 2 ns.
type counters [shards]shard

type shard struct {
	admissions [admissions]atomic.Uint64
	demands    [demands]atomic.Uint64
	endings    [endings]atomic.Uint64
	limited    [classes][levels]atomic.Uint64
	nth        atomic.Uint64 // limited answers: every n-th slips
	_          [64]byte      // keeps shards in cache lines of their own
}

func (c *counters) shard(worker int) *shard { return &c[uint(worker)%shards] }

// sum adds up one counter over all shards.
func (c *counters) sum(pick func(*shard) *atomic.Uint64) (n uint64) {
	for i := range c {
		n += pick(&c[i]).Load()
	}
	return n
}

// list reads all counters. What is counted meanwhile may be in or not.
func (c *counters) list() (out []Counter) {
	add := func(name string, pick func(*shard) *atomic.Uint64, labels ...string) {
		out = append(out, Counter{name, labels, c.sum(pick)})
	}
	for i := range admissions {
		add(nameAdmissions, func(s *shard) *atomic.Uint64 { return &s.admissions[i] }, "result", i.String())
	}
	for i := DemandCookie; i < demands; i++ {
		add(nameDemands, func(s *shard) *atomic.Uint64 { return &s.demands[i] }, "demand", i.String())
	}
	var cookies [query.CookieStates]uint64
	for i := range classNone + 1 {
		for o := range outcomes {
			sum := uint64(0)
			for state := range query.CookieStates {
				n := c.sum(func(s *shard) *atomic.Uint64 { return &s.endings[endingOf(state, i, o)] })
				cookies[state] += n
				sum += n
			}
			if i < classNone {
				out = append(out, Counter{nameResponses, []string{"class", i.String(), "outcome", outcomeNames[o]}, sum})
			}
		}
	}
	for state, n := range cookies {
		out = append(out, Counter{nameCookies, []string{"state", query.CookieState(state).String()}, n})
	}
	for i := range classes {
		for l := range levels {
			add(nameLimited, func(s *shard) *atomic.Uint64 { return &s.limited[i][l] },
				"account", i.String(), "level", l.String())
		}
	}
	return out
}
