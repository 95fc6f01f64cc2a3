package resolver_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"domainpark/policy"
	"domainpark/query"
	"domainpark/resolver"
)

// pair is the resolver and the reference, built from the same settings.
type pair struct {
	name      string
	resolver  *resolver.Resolver
	reference *reference
}

func newPairs(t testing.TB) []pair {
	t.Helper()
	var out []pair
	for _, s := range differentialSettings(t) {
		var guard *policy.Guard
		if s.cookies {
			guard = newCookieGuard(t)
		}
		r, err := resolver.New(s.cfg, guard, nil)
		if err != nil {
			t.Fatalf("settings %q: %v", s.name, err)
		}
		ref := newReference(t, s.cfg)
		ref.cookies = s.cookies
		out = append(out, pair{s.name, r, ref})
	}
	return out
}

// newCookieGuard answers cookies and limits nobody.
func newCookieGuard(t testing.TB) *policy.Guard {
	t.Helper()
	guard, err := policy.New(policy.Config{Trust: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, differentialTime)
	if err != nil {
		t.Fatal(err)
	}
	return guard
}

var (
	differentialTime   = time.Unix(1_800_000_000, 0)
	differentialClient = netip.MustParseAddrPort("127.0.0.1:5353")
)

// TestResolverEqualsReference sends random queries, mangled ones among them,
// to both and compares what they make of them, message by message.
func TestResolverEqualsReference(t *testing.T) {
	queries := 200_000
	if testing.Short() {
		queries = 20_000
	}
	const runners = 4
	var wg sync.WaitGroup
	for runner := range runners {
		pairs := newPairs(t) // a reference is for one goroutine
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(runner)))
			for i := 0; i < queries/runners && !t.Failed(); i++ {
				p := pairs[rnd.IntN(len(pairs))]
				p.compare(t, randomMessage(rnd), query.Transport(rnd.IntN(int(query.Transports))))
			}
		})
	}
	wg.Wait()
}

// compare resolves one message twice and reports every difference.
func (p pair) compare(t *testing.T, message []byte, transport query.Transport) {
	t.Helper()
	q := &query.Query{Message: bytes.Clone(message), Client: differentialClient, Transport: transport, Received: differentialTime, Idle: 7350 * time.Millisecond}
	const before = "before"
	grown := bytes.Clone(p.resolver.Resolve([]byte(before), q)) // dst has no room: the usual way of an answer ends early
	out := p.resolver.Resolve(append(make([]byte, 0, len(before)+2048), before...), q)
	want := p.reference.resolve(q)
	var wrong []string
	note := func(what string, got, want any) {
		if fmt.Sprint(got) != fmt.Sprint(want) {
			wrong = append(wrong, fmt.Sprintf("%s:\n    got  %v\n    want %v", what, got, want))
		}
	}
	if !bytes.HasPrefix(out, []byte(before)) {
		t.Fatalf("Resolve overwrote what stood in dst: %q", out)
	}
	note("answer into a dst without room", fmt.Sprintf("%x", grown), fmt.Sprintf("%x", out))
	out = out[len(before):]
	note("query is only read", fmt.Sprintf("%x", q.Message), fmt.Sprintf("%x", message))
	note("kind", q.Kind, want.kind)
	note("verdict", q.Verdict, want.verdict)
	if want.msg == nil {
		note("silence", fmt.Sprintf("%x", out), "")
	} else if err := compareAnswer(out, q, want, note); err != nil {
		wrong = append(wrong, err.Error())
	}
	if len(wrong) > 0 {
		t.Errorf("settings %q, %s, query %x:\n  %s\n  query  %s\n  answer %x", p.name, transport, message, strings.Join(wrong, "\n  "), describe(message), out)
	}
}

func compareAnswer(out []byte, q *query.Query, want expectation, note func(what string, got, want any)) error {
	got, err := parseAnswer(out)
	if err != nil {
		return err
	}
	if len(out) > want.limit {
		note("bytes", len(out), fmt.Sprint("at most ", want.limit))
	}
	full, err := canonical(want.msg)
	if err != nil {
		return fmt.Errorf("reference made a message that does not pack: %w", err)
	}
	mayTruncate, mustTruncate, mayTrim := sizes(q, want)
	if got.Truncated && mayTruncate || mustTruncate {
		full.Truncated, full.Answer, full.Ns, full.Extra = true, nil, nil, full.Extra[len(full.Extra)-optCount(full):]
	} else {
		note("MaxAge", q.MaxAge, want.maxAge)
	}
	note("header", got.MsgHdr, full.MsgHdr)
	note("question", got.Question, full.Question)
	note("answer", records(got.Answer), records(full.Answer))
	note("authority", records(got.Ns), records(full.Ns))
	if mayTrim && subset(records(got.Extra), records(full.Extra)) {
		note("additional RRsets are whole", cutSets(got.Extra, full.Extra), []string{})
	} else {
		note("additional", records(got.Extra), records(full.Extra))
	}
	if len(records(got.Extra)) > 0 && mayAmplify(q, len(out)) {
		note("bytes with an additional section", len(out), fmt.Sprint("no amplification of ", len(q.Message)))
	}
	note("OPT", options(got), options(full))
	if want.padded && len(out)%paddingBlock != 0 {
		note("padded bytes", len(out), fmt.Sprint("a multiple of ", paddingBlock))
	}

	note("Truncate", q.Truncate, got.Truncated)
	note("Rcode", q.Rcode, full.Rcode)
	if want.kind != query.KindFormErr {
		note("HasOPT", q.HasOPT, full.IsEdns0() != nil)
		note("DO", q.DO, full.IsEdns0() != nil && full.IsEdns0().Do())
		note("Limit", q.Limit, want.limit)
	}
	if want.verdict == query.Answered && want.base != nil {
		note("Base", wireLabels(q.Base), want.base)
		note("Name", wireLabels(q.Name), fold(splitName(full.Question[0].Name)))
		note("Type", q.Type, full.Question[0].Qtype)
	}
	return nil
}
