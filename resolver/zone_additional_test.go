package resolver

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"domainpark/policy"
	"domainpark/query"

	"github.com/miekg/dns"
)

// pointing is a zone whose names point to more addresses than three times a
// query has room for, whatever cookie it has.
func pointing() string {
	var b strings.Builder
	b.WriteString("$TTL 3600\n@ SOA ns1 hostmaster 1 7200 900 1209600 300\n@ NS ns2.two.example.\nalias CNAME @\nfew MX 1 mail1\nfew MX 2 mail2\nfew MX 3 mail3\nsvc HTTPS 1 .\n")
	for i := range 5 {
		fmt.Fprintf(&b, "@ NS ns%d\n@ MX %[1]d mail%[1]d\n_sip._udp SRV %[1]d 5 5060 mail%[1]d\n", i+1)
		fmt.Fprintf(&b, "in NS ns%d.in\nsib NS ns%[1]d.in\nown NS ns%[1]d\n", i+1)
		for _, host := range []string{"ns", "mail", "svc"} {
			owner := fmt.Sprint(host, i+1)
			if host == "svc" {
				owner = host
			}
			fmt.Fprintf(&b, "%s A 192.0.2.%d\n%[1]s AAAA 2001:db8::%[2]d\n", owner, i+1)
		}
		fmt.Fprintf(&b, "ns%d.in A 192.0.2.3%[1]d\nns%[1]d.in AAAA 2001:db8::3%[1]d\n", i+1)
	}
	b.WriteString("own NS ns2.two.example.\nown NS ns1.deep\ndeep NS ns1.deep\nns1.deep A 192.0.2.99\ndeeper NS ns1.deep.deeper\nns1.deep.deeper A 192.0.2.99\n")
	return b.String()
}

// pointed are zones of ours that the first one points into.
const (
	pointedTwo  = "$TTL 3600\n@ SOA ns2 hostmaster 1 7200 900 1209600 300\n@ NS ns2\nns2 A 192.0.2.41\nns2 AAAA 2001:db8::41\n"
	pointedDeep = "$TTL 3600\n@ SOA ns1 hostmaster 1 7200 900 1209600 300\n@ NS ns1\nns1 A 192.0.2.51\nns1 AAAA 2001:db8::51\n"
)

// newPointing serves these zones, and one that is signed, to clients of whom it
// trusts 192.0.2.9.
func newPointing(t *testing.T) *Resolver {
	t.Helper()
	guard, err := policy.New(policy.Config{Trust: []netip.Prefix{netip.MustParsePrefix("192.0.2.9/32")}}, noon)
	if err != nil {
		t.Fatal(err)
	}
	cfg := testConfig()
	zone := func(name, text string) Zone { return Zone{name, Source{name + ".zone", []byte(text)}} }
	cfg.Zones = []Zone{
		zone("one.example", pointing()), zone("two.example", pointedTwo), zone("deep.one.example", pointedDeep),
		zone("deep.deeper.one.example", pointedDeep), zone("example.com", signedText(t, "signed-nsec")),
	}
	r, err := New(cfg, guard, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// asker is somebody who asks, as the policy sees him.
type asker struct {
	name      string
	transport query.Transport
	client    string
	cookie    string // hex digits; empty: he knows none
	proven    bool
}

// askers are a client of each sort. The one with a valid cookie got it from r.
func askers(t *testing.T, r *Resolver) []asker {
	t.Helper()
	first := asker{client: "192.0.2.2", cookie: clientCookie, transport: query.TCP}
	_, m := first.ask(t, r, question("").Question[0], false)
	return []asker{
		{name: "UDP", client: "192.0.2.2"},
		{name: "UDP with a client cookie", client: "192.0.2.2", cookie: clientCookie},
		{name: "UDP with another client's cookie", client: "192.0.2.3", cookie: cookieOf(m)},
		{name: "UDP with a valid cookie", client: "192.0.2.2", cookie: cookieOf(m), proven: true},
		{name: "UDP, trusted", client: "192.0.2.9", proven: true},
		{name: "TCP", transport: query.TCP, client: "192.0.2.2", proven: true},
		{name: "DoQ", transport: query.DoQ, client: "192.0.2.2", proven: true},
	}
}

// ask returns how many times its query an answer is, and the answer.
func (a asker) ask(t *testing.T, r *Resolver, q dns.Question, do bool) (factor float64, m *dns.Msg) {
	t.Helper()
	msg := question(a.cookie)
	msg.Question[0] = q
	if do {
		msg.IsEdns0().SetDo()
	}
	wire, err := msg.Pack()
	if err != nil {
		t.Fatal(err)
	}
	out := r.Resolve(nil, &query.Query{Message: wire, Transport: a.transport, Client: netip.AddrPortFrom(netip.MustParseAddr(a.client), 5353), Received: noon})
	m = new(dns.Msg)
	if err := m.Unpack(out); err != nil {
		t.Fatalf("%s: %v: %x", q.String(), err, out)
	}
	return float64(len(out)+datagramHeaders) / float64(len(wire)+datagramHeaders), m
}

// TestZonesAdditionalRecordsAmplifyNothing: what may be left out of an answer
// from a zone goes to who is not proven to be there only as far as the answer is
// no more than three times the query (RFC 2181 §9); glue goes to all (RFC 9471 §3).
func TestZonesAdditionalRecordsAmplifyNothing(t *testing.T) {
	r := newPointing(t)
	for _, c := range []struct {
		what, name string
		qtype      uint16
		do         bool
		all        int // how many additional records there are, the OPT record left out
		glue       int // how many of them must not be left out
	}{
		{"MX", "one.example.", dns.TypeMX, false, 10, 0},
		{"MX behind an alias", "alias.one.example.", dns.TypeMX, false, 10, 0},
		{"NS", "one.example.", dns.TypeNS, false, 12, 0},
		{"SRV", "_sip._udp.one.example.", dns.TypeSRV, false, 10, 0},
		{"HTTPS", "svc.one.example.", dns.TypeHTTPS, false, 10, 0},
		{"signed MX", "example.com.", dns.TypeMX, true, 4, 0},
		{"referral to name servers within", "x.in.one.example.", dns.TypeA, false, 10, 10},
		{"referral to a sibling's", "x.sib.one.example.", dns.TypeA, false, 10, 10},
		{"referral to our own and a sibling's", "x.own.one.example.", dns.TypeA, false, 14, 2},
		{"referral to one within that is in a zone of ours", "x.deeper.one.example.", dns.TypeA, false, 2, 2},
	} {
		q := dns.Question{Name: c.name, Qtype: c.qtype, Qclass: dns.ClassINET}
		_, whole := asker{client: "192.0.2.2", transport: query.TCP}.ask(t, r, q, c.do)
		if n := len(additional(whole)); n != c.all {
			t.Fatalf("%s: %d additional records over TCP, want %d:\n%s", c.what, n, c.all, whole)
		}
		for _, a := range askers(t, r) {
			t.Run(c.what+"/"+a.name, func(t *testing.T) {
				factor, m := a.ask(t, r, q, c.do)
				extra := additional(m)
				if m.Truncated || !slices.Equal(texts(m.Answer), texts(whole.Answer)) || !slices.Equal(texts(m.Ns), texts(whole.Ns)) {
					t.Errorf("an answer that is not whole:\n%s", m)
				}
				for _, rr := range extra {
					if !slices.Equal(set(extra, rr), set(additional(whole), rr)) {
						t.Errorf("%s has less records, or signatures, than there are:\n%s", rr.Header().Name, m)
					}
				}
				switch n := len(extra); {
				case a.proven:
					if n != c.all {
						t.Errorf("%d additional records, want all %d:\n%s", n, c.all, m)
					}
				case n < c.glue:
					t.Errorf("%d additional records, less than the %d of glue:\n%s", n, c.glue, m)
				case n > c.glue && factor > maxAmplification:
					t.Errorf("%.2f times the query with %d additional records:\n%s", factor, n, m)
				case n == c.all && c.glue < c.all:
					t.Errorf("all additional records are there, and the answer is %.2f times the query: nothing was tested", factor)
				}
			})
		}
	}
}

// TestZonesAdditionalRecordsFillWhatThereIsRoomFor: as many as three times the
// query has room for are there, in the order of the records that point to them.
func TestZonesAdditionalRecordsFillWhatThereIsRoomFor(t *testing.T) {
	r := newPointing(t)
	a := asker{client: "192.0.2.2"}
	_, m := a.ask(t, r, dns.Question{Name: "few.one.example.", Qtype: dns.TypeMX, Qclass: dns.ClassINET}, false)
	want := []string{
		"mail1.one.example. 3600 IN A 192.0.2.1", "mail1.one.example. 3600 IN AAAA 2001:db8::1",
		"mail2.one.example. 3600 IN A 192.0.2.2", "mail3.one.example. 3600 IN A 192.0.2.3",
	}
	if got := texts(additional(m)); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	_, m = a.ask(t, r, dns.Question{Name: "x.own.one.example.", Qtype: dns.TypeA, Qclass: dns.ClassINET}, false)
	if got := texts(additional(m)); len(got) < 2 || !strings.HasPrefix(got[0], "ns1.deep.one.example.") || !strings.HasPrefix(got[1], "ns1.deep.one.example.") {
		t.Errorf("glue of a sibling is not first: %q", got)
	}
}

// TestAdditionalRecordsLeaveRoomForTheCookie: they are missed less.
func TestAdditionalRecordsLeaveRoomForTheCookie(t *testing.T) {
	var text strings.Builder
	text.WriteString("$TTL 3600\n@ SOA mail1 hostmaster 1 7200 900 1209600 300\n@ NS mail1\n")
	const hosts = 15
	for i := range hosts {
		fmt.Fprintf(&text, "@ MX 1 mail%d\nmail%[1]d A 192.0.2.%[1]d\n", i)
	}
	r := newPointing(t)
	cfg := testConfig()
	cfg.Zones = []Zone{{"one.example", Source{"one.example.zone", []byte(text.String())}}}
	if err := r.Load(cfg); err != nil {
		t.Fatal(err)
	}
	valid := askers(t, r)[3]
	m := question(valid.cookie)
	m.Question[0] = dns.Question{Name: "one.example.", Qtype: dns.TypeMX, Qclass: dns.ClassINET}
	g := guarded{Resolver: r}
	for size := uint16(minLimit); size < minLimit+policy.CookieOptionBytes; size++ {
		m.IsEdns0().SetUDPSize(size)
		a := g.send(t, m, query.UDP, valid.client, noon)
		if cookieOf(a) == "" || len(a.Answer) != hosts || a.Truncated {
			t.Fatalf("%d bytes: no cookie, or an answer that is not whole:\n%s", size, a)
		}
		if n := len(additional(a)); n == 0 || n == hosts {
			t.Fatalf("%d bytes: %d additional records: nothing was tested", size, n)
		}
	}
}

// amplifiesNothing asks again over UDP what got an answer over TCP: what was asked
// for is there or the answer is truncated, and with anything that may be left out
// it is not above three times the query. Referrals have glue.
func amplifiesNothing(t *testing.T, r *Resolver, whole *dns.Msg) {
	t.Helper()
	factor, m := asker{client: "192.0.2.2"}.ask(t, r, whole.Question[0], true)
	refers := slices.ContainsFunc(m.Ns, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeNS })
	switch {
	case m.Truncated:
	case !slices.Equal(texts(m.Answer), texts(whole.Answer)) || !slices.Equal(texts(m.Ns), texts(whole.Ns)):
		t.Errorf("not whole:\n%s\nover TCP:\n%s", m, whole)
	case !refers && len(additional(m)) > 0 && factor > maxAmplification:
		t.Errorf("%.2f times the query:\n%s", factor, m)
	}
}

// additional are the additional records of m but the OPT record.
func additional(m *dns.Msg) []dns.RR {
	return slices.DeleteFunc(slices.Clone(m.Extra), func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeOPT })
}

// set are the records of rrs that belong to the same set as rr, with what signs it.
func set(rrs []dns.RR, rr dns.RR) []string {
	covered := func(rr dns.RR) uint16 {
		if s, ok := rr.(*dns.RRSIG); ok {
			return s.TypeCovered
		}
		return rr.Header().Rrtype
	}
	return texts(slices.DeleteFunc(slices.Clone(rrs), func(o dns.RR) bool {
		return covered(o) != covered(rr) || !strings.EqualFold(o.Header().Name, rr.Header().Name)
	}))
}

// texts are records with single spaces.
func texts(rrs []dns.RR) (lines []string) {
	for _, rr := range rrs {
		lines = append(lines, strings.Join(strings.Fields(rr.String()), " "))
	}
	return lines
}
