package resolver_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

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
	out := p.resolver.Resolve([]byte(before), q)
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
	mayTruncate, mustTruncate, mayTrim := sizes(want)
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

// parseAnswer reads an answer, which must end where its last record does.
func parseAnswer(out []byte) (*dns.Msg, error) {
	m := new(dns.Msg)
	if err := m.Unpack(out); err != nil {
		return nil, fmt.Errorf("answer does not parse: %w", err)
	}
	at := 12
	for range m.Question {
		_, next, _ := readQuestionName(out)
		at = next + 4
	}
	for range len(m.Answer) + len(m.Ns) + len(m.Extra) {
		next, _, ok := readRecord(out, at)
		if !ok {
			return nil, fmt.Errorf("record at byte %d of the answer does not parse", at)
		}
		at = next
	}
	if at != len(out) {
		return nil, fmt.Errorf("%d bytes behind the last record of the answer", len(out)-at)
	}
	return m, nil
}

// canonical sends a message through the wire format, so that both sides'
// records are written alike.
func canonical(m *dns.Msg) (*dns.Msg, error) {
	wire, err := m.Pack()
	if err != nil {
		return nil, err
	}
	out := new(dns.Msg)
	return out, out.Unpack(wire)
}

// sizes says what an answer's size allows. How well an answer is compressed is
// left to the resolver: between the two sizes either is right.
func sizes(want expectation) (mayTruncate, mustTruncate, mayTrim bool) {
	full := want.msg.Copy()
	loose := full.Len()
	full.Compress = true
	mayTrim = loose > want.limit
	full.Extra = full.Extra[len(full.Extra)-optCount(full):]
	mustTruncate = full.Len() > want.limit
	full.Compress = false
	return full.Len() > want.limit, mustTruncate, mayTrim
}

func optCount(m *dns.Msg) int {
	if m.IsEdns0() != nil {
		return 1
	}
	return 0
}

// records writes a section without its OPT, as a sorted list. Owner names are
// compared with their case, which is the question's; names in RDATA without it
// (RFC 4343 §4).
func records(rrs []dns.RR) []string {
	out := []string{}
	for _, rr := range rrs {
		owner := rr.Header().String()
		rdata := strings.TrimPrefix(rr.String(), owner)
		switch rr.Header().Rrtype {
		case dns.TypeOPT:
			continue
		case dns.TypeTXT: // {base} in a text: how an odd byte of a name is escaped is a matter of taste
			rdata = unescaped(unescaped(rdata))
		case dns.TypeCAA, dns.TypeHINFO:
		default:
			rdata = strings.ToLower(rdata)
		}
		out = append(out, owner+rdata)
	}
	slices.Sort(out)
	return out
}

var escape = regexp.MustCompile(`\\(\d\d\d|.)`)

// unescaped undoes \DDD and \X (RFC 1035 §5.1).
func unescaped(s string) string {
	return escape.ReplaceAllStringFunc(s, func(e string) string {
		if n, err := strconv.ParseUint(e[1:], 10, 8); err == nil && len(e) == 4 {
			return string([]byte{byte(n)})
		}
		return e[1:]
	})
}

func subset(part, whole []string) bool {
	for _, s := range part {
		if !slices.Contains(whole, s) {
			return false
		}
	}
	return true
}

// cutSets lists the RRsets of which only some records are there (RFC 2181 §5.1
// asks for all of them or none).
func cutSets(part, whole []dns.RR) []string {
	count := func(rrs []dns.RR) map[string]int {
		sets := map[string]int{}
		for _, rr := range rrs {
			sets[rr.Header().Name+dns.Type(rr.Header().Rrtype).String()]++
		}
		return sets
	}
	out := []string{}
	all := count(whole)
	for set, n := range count(part) {
		if n != all[set] {
			out = append(out, set)
		}
	}
	return out
}

// options writes an OPT record without what may be as the resolver likes: the
// padding's length, the texts of extended errors, the server's half of a cookie.
func options(m *dns.Msg) string {
	opt := m.IsEdns0()
	if opt == nil {
		return "none"
	}
	var list []string
	for _, o := range opt.Option {
		switch o := o.(type) {
		case *dns.EDNS0_PADDING:
			list = append(list, "padding")
		case *dns.EDNS0_COOKIE:
			list = append(list, fmt.Sprintf("cookie %.16s of %d digits", o.Cookie, len(o.Cookie)))
		case *dns.EDNS0_EDE:
			list = append(list, fmt.Sprintf("EDE %d", o.InfoCode))
		default:
			list = append(list, fmt.Sprintf("%d %s", o.Option(), o))
		}
	}
	slices.Sort(list)
	return fmt.Sprintf("owner %s size %d ttl %08x options %q", opt.Hdr.Name, opt.Hdr.Class, opt.Hdr.Ttl, list)
}

func wireLabels(name []byte) []string {
	labels := []string{}
	for len(name) > 0 && name[0] != 0 {
		n := 1 + int(name[0])
		labels = append(labels, string(name[1:n]))
		name = name[n:]
	}
	return labels
}

// describe shows a query as far as it can be read.
func describe(message []byte) string {
	m := readMessage(message)
	return fmt.Sprintf("%s %s class %d, opcode %d, malformed %t, opt %+v", presentation(m.qname), dns.Type(m.qtype), m.qclass, m.opcode, m.malformed, m.opt)
}
