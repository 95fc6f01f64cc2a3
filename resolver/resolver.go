// Package resolver decides what is answered: bytes in, bytes out. It opens no
// socket, reads no file and has no clock of its own.
//
//	message → parse → admit → cookie → answer → limit → finish → message
//
// For every domain in the world it gives the records of the profile
// (parked.zone), compiled when settings are loaded, so that answering a query
// is little more than copying bytes behind the question. Names in the
// operator's own zones are answered from those, with the signatures and denials
// of zones that came signed. It keeps to RFC 1034, 1035, 2181, 2308, 3597, 4034,
// 4035, 4343, 4592, 5155, 6604, 6672, 6891, 7828, 8482, 8906, 8914 and 9471;
// docs/conformance.md says where.
//
// Start at [Resolver.Resolve]. The resolver never recurses, never asks anybody
// and keeps no state between queries.
package resolver

import (
	"sync/atomic"

	"domainpark/policy"
	"domainpark/query"
)

// Resolver answers queries from settings that can be replaced while it works.
// It is safe for concurrent use.
type Resolver struct {
	current atomic.Pointer[snapshot]
	guard   *policy.Guard // nil: no limits, no cookies
	observe func(*query.Query)
}

// New returns a resolver that answers from cfg. When cfg has mistakes it
// returns all of them, each an *Error, joined. guard decides who is answered
// and how much; nil answers everybody, without DNS cookies. observe, when it is
// not nil, is called at the end of every query, by the goroutine that called
// Resolve; it must neither block nor keep the query.
func New(cfg Config, guard *policy.Guard, observe func(*query.Query)) (*Resolver, error) {
	r := &Resolver{guard: guard, observe: observe}
	if observe == nil {
		r.observe = func(*query.Query) {}
	}
	if err := r.Load(cfg); err != nil {
		return nil, err
	}
	return r, nil
}

// Load replaces what the resolver answers from. Queries under way are answered
// from what they began with. When cfg has mistakes nothing changes and all of
// them are returned, as New does.
func (r *Resolver) Load(cfg Config) error {
	s, err := compile(cfg)
	if err != nil {
		return err
	}
	r.current.Store(s)
	return nil
}

// Adopt replaces what r answers from by what other answers from: other was made
// beside r, and all that can be wrong with its Config is known. Queries under way
// are answered from what they began with.
func (r *Resolver) Adopt(other *Resolver) { r.current.Store(other.current.Load()) }

// Guarded returns a resolver that answers from what r answers from now, within
// the limits of guard and telling observe, as New would.
func (r *Resolver) Guarded(guard *policy.Guard, observe func(*query.Query)) *Resolver {
	g := &Resolver{guard: guard, observe: observe}
	g.Adopt(r)
	return g
}

// Unobserved returns a resolver that answers from what r answers from now, to
// everybody and without telling anybody: for programs that show what clients
// would get.
func (r *Resolver) Unobserved() *Resolver {
	return r.Guarded(nil, func(*query.Query) {})
}

// Resolve appends the answer to q.Message to dst and returns it; when nothing
// is appended, nothing is to be sent. It fills in the lower fields of q, keeps
// neither dst nor q, and allocates nothing when dst has room for q.Limit more
// bytes, which are 1232 at most over UDP. dst must not overlap q.Message.
func (r *Resolver) Resolve(dst []byte, q *query.Query) []byte {
	var req request
	s := r.current.Load()
	reset(q)
	before := len(dst)
	dst, q.Verdict = r.resolve(dst, s, q, &req)
	q.Answer = dst[before:]
	q.Size = len(q.Answer)
	r.observe(q) // 7. Counters and logs.
	q.Answer = nil
	return dst
}

// resolve is the way of a query, and how it ended.
func (r *Resolver) resolve(dst []byte, s *snapshot, q *query.Query, req *request) ([]byte, query.Verdict) {
	// 1. Parse.
	kind, silent := req.parse(q)
	if silent {
		return dst, query.Silent
	}
	q.DO = req.edns.do
	q.Limit = req.edns.limit(q)

	// 2. Admit, by access lists and the limit on requests.
	if r.guard != nil && r.guard.Admit(q) != policy.Admitted {
		return dst, query.Dropped
	}

	// 3. Cookie.
	demand := policy.NoDemand
	if r.guard == nil {
		req.edns.cookie = nil // nobody answers it
	} else {
		demand = r.guard.Cookie(q, req.edns.cookie)
		if q.Cookie != query.CookieNone || demand != policy.NoDemand {
			kind = cookieKind(kind, q, req, demand)
		}
	}

	// 4. Locate the operator's zone or the parked domain and answer.
	rep := failure(kind)
	if kind == query.KindNone {
		rep = s.answer(dst, q, req)
	}
	q.Kind, q.Rcode = rep.kind, rcodes[rep.kind]
	if req.zone.tooLong {
		q.Rcode = rcodeYXDomain
	}

	// 5. Limit.
	action := policy.Send
	if r.guard != nil {
		action = r.guard.Limit(q)
	}
	if action == policy.Drop {
		return dst, query.Dropped
	}
	slip := action == policy.Slip || demand == policy.DemandStream

	// 6. Finish: sections, size, OPT.
	dst = r.finish(dst, s, q, req, &rep, slip)
	switch {
	case slip:
		return dst, query.Slipped
	case rep.kind.Error():
		return dst, query.Refused
	}
	return dst, query.Answered
}

// cookieKind is what the state of the cookie makes of a query that was parsed
// to be of kind.
func cookieKind(kind query.Kind, q *query.Query, req *request, demand policy.Demand) query.Kind {
	switch {
	case kind == query.KindBadVers: // options of another version mean nothing
		return kind
	case q.Cookie == query.CookieMalformed: // RFC 7873 §5.2.2
		return query.KindFormErr
	case kind == query.KindFormErr && req.bare && q.Cookie == query.CookieInvalid: // RFC 7873 §5.4
		return query.KindBadCookie
	case kind == query.KindFormErr && req.bare && q.Cookie != query.CookieNone:
		return query.KindCookie
	case kind == query.KindNone && demand == policy.DemandCookie:
		return query.KindBadCookie
	}
	return kind
}

// reset clears what Resolve fills in.
func reset(q *query.Query) {
	q.Name, q.Base, q.Count = nil, nil, 0
	q.Type, q.Class = 0, 0
	q.HasOPT, q.DO, q.Truncate = false, false, false
	q.Trusted, q.Cookie = false, query.CookieNone
	q.Limit, q.MaxAge, q.Rcode = 0, 0, 0
	q.Kind, q.Verdict = query.KindNone, query.Pending
}

// rcodes has the response code of each kind (RFC 1035 §4.1.1, RFC 6895 §2.3).
var rcodes = [query.Kinds]uint16{
	query.KindFormErr:   1,
	query.KindServFail:  2,
	query.KindNXDomain:  3,
	query.KindNotImp:    4,
	query.KindRefused:   5,
	query.KindBadVers:   16,
	query.KindBadCookie: 23,
}

// rcodeYXDomain is that of RFC 2136 §2.2.
const rcodeYXDomain = 6

// reply is an answer before it is written.
type reply struct {
	kind    query.Kind
	records *records // nil: none
	base    int      // where the parked domain's name stands, counted from the header
	ede     uint16
}

func failure(kind query.Kind) reply { return reply{kind: kind, ede: noError} }

func refusal(ede uint16) reply { return reply{kind: query.KindRefused, ede: ede} }
