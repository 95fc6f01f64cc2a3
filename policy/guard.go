// Package policy decides whether a query is answered, and how much a client
// gets: access lists, request limits, DNS cookies (RFC 7873, RFC 9018),
// response-rate limits and the accounts of connections. It opens no socket and
// has no clock: the time is that of the query, or an argument.
//
//	query → Admit → Cookie, Demand → (resolver) → Limit → answer
//	connection → Connections.Open, Touch, Close
//
// Start at [Guard]. A query costs less than 120 ns with everything on, and no
// memory; docs/security.md says what each part holds off and how to tune it.
package policy

import (
	"context"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"domainpark/query"
)

// Guard applies one policy to every query of a server, on every transport. It
// is safe for concurrent use.
type Guard struct {
	rules       atomic.Pointer[rules]
	counters    counters
	episodes    *episodes
	connections *Connections
	pages       [admissions]atomic.Uint64 // Request, by how it ended
	epoch       time.Time
}

// rules is what follows from one Config. It is replaced as a whole.
type rules struct {
	cfg       Config
	log       *slog.Logger
	access    access
	requests  *requests  // nil: no limit
	responses *responses // nil: no limit
	cookies   cookies
	equal     bool // all clients stand equal: no lists, and there is a limit on requests
}

// New returns a guard for cfg, or all of its mistakes, each an *Error, joined.
// The time is what tables and secrets start from.
func New(cfg Config, now time.Time) (*Guard, error) {
	g := &Guard{episodes: newEpisodes(now), epoch: now}
	g.connections = newConnections(g.episodes, now)
	if err := g.Reload(cfg, now); err != nil {
		return nil, err
	}
	return g, nil
}

// Reload replaces the policy, and is for one goroutine at a time. Counters and
// open connections live on, and so do buckets whose limits did not change.
// When cfg has mistakes nothing changes and all of them are returned.
func (g *Guard) Reload(cfg Config, now time.Time) error {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return err
	}
	r := &rules{cfg: cfg, log: cfg.Log, access: newAccess(cfg.Allow, cfg.Deny, cfg.Trust)}
	old := g.rules.Load()
	if old != nil && old.cfg.Requests == cfg.Requests && old.cfg.Responses.Table == cfg.Responses.Table {
		r.requests = old.requests
	} else {
		r.requests = newRequests(cfg.Requests, cfg.Responses.Table, g.epoch)
	}
	if old != nil && old.cfg.Responses == cfg.Responses {
		r.responses = old.responses
	} else {
		r.responses = newResponses(cfg.Responses, g.epoch)
	}
	r.cookies = cookies{require: cfg.Cookies.Require}
	if old != nil && old.cfg.Cookies.random() && cfg.Cookies.random() {
		r.cookies.secrets = old.cookies.secrets
	} else {
		r.cookies.secrets = newSecrets(cfg.Cookies, now)
	}
	g.connections.reload(cfg.Connections, r.access)
	r.equal = r.access.table == nil && !r.access.other.denied && r.requests != nil
	g.rules.Store(r)
	return nil
}

// Connections are the accounts of connections.
func (g *Guard) Connections() *Connections { return g.connections }

// Counters reads all counters of the guard.
func (g *Guard) Counters() []Counter {
	out := append(g.counters.list(), g.connections.counters()...)
	for _, a := range []Admission{Admitted, Exceeded} {
		out = append(out, Counter{namePages, []string{"result", a.String()}, g.pages[a].Load()})
	}
	r := g.rules.Load()
	if r.requests != nil {
		out = append(out, Counter{nameEvictions, []string{"table", "requests"}, r.requests.table.evictions()})
	}
	if r.responses != nil {
		out = append(out, Counter{nameEvictions, []string{"table", "responses"}, r.responses.table.evictions()})
	}
	return append(out, Counter{nameUnlogged, nil, g.episodes.unlisted.Load()})
}

// Admission says whether a query is answered at all.
type Admission uint8

// The admissions.
const (
	Admitted Admission = iota
	Denied             // by the access lists
	Exceeded           // over the request limit

	admissions
)

var admissionNames = [admissions]string{"admitted", "denied", "exceeded"}

// String is the name that metrics use.
func (a Admission) String() string {
	if a < admissions {
		return admissionNames[a]
	}
	return "unknown"
}

// Admit asks access lists and the request limit. It needs what the listener
// fills in, and sets q.Trusted.
//
// A query over UDP from an IPv4 client with credit, where there are no lists, ends
// here after 95 instructions, those of spend included, where asking one after the
// other in functions of their own took 219.
func (g *Guard) Admit(q *query.Query) Admission {
	r := g.rules.Load()
	if addr := q.Client.Addr(); r.equal && addr.Is4() && q.Transport == query.UDP {
		l := r.requests
		if l.table.spend(l.keys.join(ipv4Client(addr), l.usual, 0)) {
			q.Trusted = false
			g.counters.shard(q.Worker).admissions[Admitted].Add(1)
			return Admitted
		}
	}
	return g.admit(r, q)
}

// admit is Admit for any query.
func (g *Guard) admit(r *rules, q *query.Query) Admission {
	s := r.access.of(q.Client.Addr())
	q.Trusted = s.trusted
	a := Denied
	if !s.denied {
		a = g.charge(r, s, q)
	}
	g.counters.shard(q.Worker).admissions[a].Add(1)
	return a
}

// charge asks the request limit alone. Of q it needs what the listener fills in.
func (g *Guard) charge(r *rules, s standing, q *query.Query) Admission {
	if r.requests == nil || s.trusted {
		return Admitted
	}
	c := clientOf(q.Client.Addr())
	if r.requests.allow(c, q.Transport, q.Received) {
		return Admitted
	}
	g.episodes.note(c, clientLength[c.family], subjectRequests, q.Worker, q.Received)
	return Exceeded
}

// Request charges an HTTP request that carries no DNS query, such as one for the
// page, or a DoQ stream without one, as Admit charges a query, and tells whether it is
// answered. Access lists
// have their say when the connection is opened.
func (g *Guard) Request(now time.Time, client netip.AddrPort, t query.Transport) bool {
	r := g.rules.Load()
	q := query.Query{Client: client, Transport: t, Received: now}
	a := g.charge(r, r.access.of(client.Addr()), &q)
	g.pages[a].Add(1)
	return a == Admitted
}

// Demand is what a query is told that must come with a valid cookie.
type Demand uint8

// The demands.
const (
	NoDemand     Demand = iota
	DemandCookie        // BADCOOKIE, with a cookie to come back with (RFC 7873 §5.2.3)
	DemandStream        // TC=1: the client knows no cookies, TCP will prove its address

	demands
)

// String is the name that metrics use.
func (d Demand) String() string {
	switch d {
	case NoDemand:
		return "none"
	case DemandCookie:
		return "badcookie"
	case DemandStream:
		return "truncated"
	}
	return "unknown"
}

// Cookie reads the cookie option of q, nil when it has none, and sets
// q.Cookie, which Limit counts. A malformed cookie is answered with FORMERR; that
// is not a demand. It is to be called after Admit.
func (g *Guard) Cookie(q *query.Query, option []byte) Demand {
	r := g.rules.Load()
	if q.Cookie = query.CookieNone; option == nil && !r.cookies.require {
		return NoDemand
	}
	q.Cookie = r.cookies.check(option, q.Client.Addr(), q.Received)
	return g.demand(r, q)
}

// demand is what q is told, whose cookie has been looked at.
func (g *Guard) demand(r *rules, q *query.Query) Demand {
	if !r.cookies.require || q.Trusted || !q.Transport.Spoofable() {
		return NoDemand
	}
	d := NoDemand
	switch q.Cookie {
	case query.CookieNone:
		d = DemandStream
	case query.CookieClient, query.CookieInvalid:
		d = DemandCookie
	}
	if d != NoDemand {
		g.counters.shard(q.Worker).demands[d].Add(1)
	}
	return d
}

// AppendCookie appends the cookie option that answers the one of q, header
// included, CookieOptionBytes at most: always a cookie that will be valid. It
// appends nothing when q has no cookie or a malformed one.
func (g *Guard) AppendCookie(dst []byte, q *query.Query, option []byte) []byte {
	if q.Cookie == query.CookieNone || q.Cookie == query.CookieMalformed {
		return dst
	}
	return g.rules.Load().cookies.append(dst, option, q.Cookie, q.Client.Addr(), q.Received)
}

// Run reports every second until ctx ends. See Report.
func (g *Guard) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			g.Report(now)
		}
	}
}

// Report logs which prefixes began and which ended to be limited since it was
// last called: a bounded number of lines, whatever arrives. It is meant to be
// called about once a second, and not by who answers queries: writing a log may
// block.
func (g *Guard) Report(now time.Time) {
	r := g.rules.Load()
	g.episodes.report(r.log, now, r.cfg.Responses.DryRun)
}
