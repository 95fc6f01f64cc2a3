package resolver

import (
	"net/netip"
	"testing"

	"domainpark/query"

	"github.com/miekg/dns"
)

// testConfig is a Config with every kind of setting in it.
func testConfig() Config {
	return Config{
		NameServers: []NameServer{
			{Name: "ns1.park.example", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}},
			{Name: "ns2.park.example"},
		},
		RUA: []string{"r@park.example"},
	}
}

func mustNew(tb testing.TB, cfg Config) *Resolver {
	tb.Helper()
	r, err := New(cfg, nil, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// ask sends one question through r and returns the parsed answer.
func ask(tb testing.TB, r *Resolver, name string, qtype uint16) *dns.Msg {
	tb.Helper()
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), qtype)
	wire, err := m.Pack()
	if err != nil {
		tb.Fatal(err)
	}
	out := r.Resolve(nil, &query.Query{Message: wire, Transport: query.TCP})
	a := new(dns.Msg)
	if err := a.Unpack(out); err != nil {
		tb.Fatalf("%s %s: answer does not parse: %v\n%x", name, dns.Type(qtype), err, out)
	}
	return a
}

func TestSizeIsThatOfTheAnswerAlone(t *testing.T) {
	r := mustNew(t, testConfig())
	wire, err := new(dns.Msg).SetQuestion("example.com.", dns.TypeMX).Pack()
	if err != nil {
		t.Fatal(err)
	}
	q := &query.Query{Message: wire}
	before := []byte("something else")
	out := r.Resolve(before, q)
	if want := len(out) - len(before); q.Size != want || want <= len(wire) {
		t.Errorf("Size = %d, want %d", q.Size, want)
	}
	q.Message = wire[:2]
	if r.Resolve(before, q); q.Size != 0 || q.Verdict != query.Silent {
		t.Errorf("silence has Size = %d, %s", q.Size, q.Verdict)
	}
}
