package main

import (
	"encoding/hex"
	"net/netip"
	"testing"
	"time"

	"domainpark/query"

	"github.com/miekg/dns"
)

// limited asks a server in this process, all at one moment, so that no bucket
// fills again between two queries.
type limited struct {
	t   *testing.T
	srv *observedServer
	now time.Time
}

// asks sends n queries for MX example.com. cookie is hex, empty for none. It returns
// the last answer.
func (l *limited) asks(n int, client string, over query.Transport, cookie string) []byte {
	l.t.Helper()
	m := new(dns.Msg).SetQuestion("example.com.", dns.TypeMX)
	if cookie != "" {
		m.SetEdns0(1232, false)
		m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: cookie}}
	}
	wire, err := m.Pack()
	if err != nil {
		l.t.Fatal(err)
	}
	var answer []byte
	for range n {
		answer = l.srv.resolver.Resolve(nil, &query.Query{
			Message: wire, Client: netip.AddrPortFrom(netip.MustParseAddr(client), 5353), Transport: over, Received: l.now,
		})
	}
	return answer
}

// serverCookie takes the cookie out of an answer.
func serverCookie(t *testing.T, answer []byte) string {
	t.Helper()
	m := new(dns.Msg)
	if err := m.Unpack(answer); err != nil {
		t.Fatal(err)
	}
	for _, o := range m.IsEdns0().Option {
		if c, ok := o.(*dns.EDNS0_COOKIE); ok {
			return c.Cookie
		}
	}
	t.Fatalf("no cookie in %s", m)
	return ""
}

// TestMetricsOfLimits sends as many queries as each limit takes and a known
// number more: the metrics of limits are these numbers, and agree with those of
// queries.
func TestMetricsOfLimits(t *testing.T) {
	srv := serveObserved(t, `
policy:
  deny: [198.51.100.0/24]
  trust: [203.0.113.0/24]
  requests: {rate: 40, burst: 40}
  responses: {rate: 20, errors: 5, all: 1000, slip: 2}
`)
	before := samplesOf(srv.scrape(t))
	l := &limited{t, srv, time.Now()}
	l.asks(30, "192.0.2.1", query.UDP, "")   // 20 sent; of 10 every second is slipped
	l.asks(30, "192.0.2.1", query.TCP, "")   // can't be spoofed: no limit of answers
	l.asks(50, "2001:db8::1", query.TCP, "") // 40 admitted
	l.asks(7, "198.51.100.9", query.UDP, "") // denied
	l.asks(60, "203.0.113.1", query.UDP, "") // trusted
	const client = "0102030405060708"
	cookie := serverCookie(t, l.asks(1, "192.0.3.1", query.UDP, client))
	l.asks(30, "192.0.3.1", query.UDP, cookie) // proves its address: no limit of answers
	forged, err := hex.DecodeString(cookie)
	if err != nil {
		t.Fatal(err)
	}
	forged[len(forged)-1] ^= 1
	l.asks(3, "192.0.3.1", query.UDP, hex.EncodeToString(forged))
	l.asks(2, "192.0.3.1", query.UDP, client+"01") // no length of a cookie: FORMERR
	after := samplesOf(srv.scrape(t))

	for name, want := range map[string]float64{
		"admissions_total{result=admitted}": 30 + 30 + 40 + 60 + 1 + 30 + 3 + 2,
		"admissions_total{result=denied}":   7,
		"admissions_total{result=exceeded}": 10,

		"cookies_total{state=none}":      30 + 30 + 40 + 60,
		"cookies_total{state=client}":    1,
		"cookies_total{state=valid}":     30,
		"cookies_total{state=invalid}":   3,
		"cookies_total{state=malformed}": 2,

		"responses_total{class=answer,outcome=sent}":    20 + 1 + 3,
		"responses_total{class=answer,outcome=slipped}": 5,
		"responses_total{class=answer,outcome=dropped}": 5,
		"responses_total{class=answer,outcome=spared}":  0,
		"responses_total{class=error,outcome=sent}":     2,

		"queries_total{transport=udp,verdict=answered}": 20 + 60 + 1 + 30 + 3,
		"queries_total{transport=udp,verdict=slipped}":  5,
		"queries_total{transport=udp,verdict=dropped}":  5 + 7,
		"queries_total{transport=udp,verdict=refused}":  2,
		"queries_total{transport=tcp,verdict=answered}": 30 + 40,
		"queries_total{transport=tcp,verdict=dropped}":  10,
		"truncated_answers_total{transport=udp}":        5,
	} {
		if got := after[name] - before[name]; got != want {
			t.Errorf("%s grew by %v, want %v", name, got, want)
		}
	}
	grew := func(family string) float64 { return after.sum(family, "") - before.sum(family, "") }
	if limited := grew("limited_responses_total"); limited != 10 {
		t.Errorf("limited_responses_total grew by %v, want 10", limited)
	}
	if answers, admitted := grew("responses_total"), after["admissions_total{result=admitted}"]; answers != admitted {
		t.Errorf("%v answers of %v queries that were admitted", answers, admitted)
	}
	if received, judged := grew("queries_total"), grew("admissions_total"); received != judged {
		t.Errorf("%v queries, %v of them judged", received, judged)
	}
	if answered, sent := grew("answers_total"), grew("queries_total")-12-10; answered != sent {
		t.Errorf("%v answers, %v were sent", answered, sent)
	}
}
