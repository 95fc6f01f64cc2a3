package resolver

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"domainpark/policy"
	"domainpark/query"
	"domainpark/telemetry"

	"github.com/miekg/dns"
)

// load is a mix of queries as parked domains get them, each from one of a
// number of clients that all stay below their limits.
type load struct {
	queries [4096]struct {
		message []byte
		client  netip.AddrPort
	}
	next int
}

// mixed makes a load: a thousand domains, the types and names that mail servers,
// browsers and authorities ask for, and 200 clients. It is the mix of the
// comparison with other servers, and the same in every run.
func mixed(tb testing.TB) *load {
	l := new(load)
	rnd := rand.New(rand.NewPCG(1, 2))
	suffixes := []string{"com", "org", "net", "co.uk", "com.au", "io", "de"}
	for i := range l.queries {
		n := rnd.IntN(1000)
		name, qtype := fmt.Sprintf("parked-%d.%s", n, suffixes[n%len(suffixes)]), dns.TypeTXT
		switch p := rnd.IntN(100); {
		case p < 20:
		case p < 40:
			name = "_dmarc." + name
		case p < 50:
			name = fmt.Sprintf("s%d._domainkey.%s", rnd.IntN(100), name)
		case p < 65:
			qtype = dns.TypeMX
		case p < 80:
			qtype = dns.TypeA
		case p < 88:
			qtype = dns.TypeAAAA
		case p < 93:
			qtype = dns.TypeNS
		case p < 96:
			qtype = dns.TypeSOA
		default:
			qtype = dns.TypeCAA
		}
		l.queries[i].message = packed(tb, name, qtype)
		client := netip.AddrFrom4([4]byte{192, 0, byte(rnd.IntN(200)), 1})
		l.queries[i].client = netip.AddrPortFrom(client, uint16(1024+rnd.IntN(60000)))
	}
	return l
}

// fill makes q the next query. Time passes as at 100,000 queries a second.
func (l *load) fill(q *query.Query) {
	n := &l.queries[l.next%len(l.queries)]
	l.next++
	q.Message, q.Client = n.message, n.client
	q.Received = q.Received.Add(10 * time.Microsecond)
}

// everything is a resolver with limits, cookies and counters on. The limits are
// as high as they go: they are asked and refuse nothing.
func everything(tb testing.TB) *Resolver {
	tb.Helper()
	const most = 10_000_000
	guard, err := policy.New(policy.Config{
		Requests:  policy.Requests{Rate: most, Burst: most},
		Responses: policy.Responses{Rate: most, Errors: most, All: most, Slip: 2, IPv4Prefix: 24, IPv6Prefix: 56, Table: 100_000},
	}, time.Now())
	if err != nil {
		tb.Fatal(err)
	}
	r, err := New(testConfig(), guard, telemetry.New().Observe)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// BenchmarkSteps takes the way of a query apart, step by step as resolve has
// them (DESIGN §2). Each is measured on the state that the steps before it
// leave, for one query of the mix after another; "none" is what the loop itself
// costs, to be taken off the others. The steps of policy have further benchmarks
// in its package.
func BenchmarkSteps(b *testing.B) {
	r := everything(b)
	s := r.current.Load()
	observe := telemetry.New().Observe
	// A state is a query that went the whole way, and its request.
	type state struct {
		q   query.Query
		req request
		rep reply
	}
	states := make([]state, 256) // few enough for a second-level cache
	l := mixed(b)
	buf := make([]byte, 0, maxUDP)
	now := time.Now()
	var fresh query.Query
	for i := range states {
		st := &states[i]
		st.q.Received = now
		l.fill(&st.q)
		reset(&st.q)
		st.req.parse(&st.q)
		st.q.Limit = st.req.edns.limit(&st.q)
		st.rep = s.answer(buf, &st.q, &st.req)
		st.q.Kind, st.q.Verdict, st.q.Size = st.rep.kind, query.Answered, 100
	}
	for _, step := range []struct {
		name string
		run  func(*state)
	}{
		{"0-none", func(*state) {}},
		{"1-parse", func(st *state) {
			var req request
			reset(&fresh)
			fresh.Message = st.q.Message
			req.parse(&fresh)
		}},
		{"2-admit", func(st *state) { r.guard.Admit(&st.q) }},
		{"3-cookie", func(st *state) { r.guard.Cookie(&st.q, st.req.edns.cookie) }},
		{"4-locate", func(st *state) {
			s.locate(name{st.q.Name, st.q.Labels[:st.q.Count]}, st.req.scope, &st.req.spot)
		}},
		{"4-locate-and-answer", func(st *state) { st.rep = s.answer(buf, &st.q, &st.req) }},
		{"5-limit", func(st *state) { r.guard.Limit(&st.q) }},
		{"6-finish", func(st *state) { r.finish(buf, s, &st.q, &st.req, &st.rep, false) }},
		{"7-observe", func(st *state) { observe(&st.q) }},
	} {
		b.Run(step.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				st := &states[i%len(states)]
				now = now.Add(10 * time.Microsecond)
				st.q.Received = now
				step.run(st)
			}
		})
	}
}

// BenchmarkWhole is the whole way of a query over UDP with everything on, for
// clients that are known and for clients that were never met.
func BenchmarkWhole(b *testing.B) {
	for _, bc := range []struct {
		name     string
		stranger bool
	}{{"known", false}, {"strangers", true}} {
		b.Run(bc.name, func(b *testing.B) {
			r, l := everything(b), mixed(b)
			q := &query.Query{Received: time.Now()}
			buf := make([]byte, 0, maxUDP)
			b.ReportAllocs()
			for b.Loop() {
				l.fill(q)
				if bc.stranger {
					n := rand.Uint32()
					q.Client = netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)}), 53)
				}
				r.Resolve(buf, q)
			}
			if q.Verdict != query.Answered {
				b.Fatalf("verdict %s", q.Verdict)
			}
		})
	}
}

// BenchmarkWorkers is BenchmarkWhole of known clients for workers side by side,
// who share the resolver and its tables as the workers of a server do, and meet
// the same clients: with -cpu 1,2 the time of an operation halves where they
// do not hold each other up, as far as the machine has two whole CPUs.
func BenchmarkWorkers(b *testing.B) {
	r := everything(b)
	var workers atomic.Int32
	b.RunParallel(func(pb *testing.PB) {
		l := mixed(b)
		q := &query.Query{Received: time.Now(), Worker: int(workers.Add(1))}
		l.next = q.Worker * len(l.queries) / 3
		buf := make([]byte, 0, maxUDP)
		for pb.Next() {
			l.fill(q)
			r.Resolve(buf, q)
		}
		if q.Size > 0 && q.Verdict != query.Answered { // the first round is one query for all
			b.Errorf("verdict %s", q.Verdict)
		}
	})
}
