package audit

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// answerOf is an answer with records, written as in a zone file behind the owner.
func answerOf(qtype uint16, records ...string) answer {
	m := new(dns.Msg).SetReply(question("example.com", qtype, false))
	for _, r := range records {
		m.Answer = append(m.Answer, rr("example.com. %s %s", dns.Type(qtype), r))
	}
	return answer{msg: m}
}

func TestJudges(t *testing.T) {
	e := &evidence{domain: "example.com"}
	for _, c := range []struct {
		judge   func(*evidence, answer) (Verdict, string)
		qtype   uint16
		records []string
		want    Verdict
		tells   string
	}{
		{nullMX, dns.TypeMX, []string{"0 ."}, Pass, ""},
		{nullMX, dns.TypeMX, []string{"10 ."}, Warn, "preference 10"},
		{nullMX, dns.TypeMX, []string{"0 .", "10 mail.example.com."}, Fail, "senders use all the same"},
		{nullMX, dns.TypeMX, []string{"10 mail.example.com."}, Fail, "mail.example.com"},
		{nullMX, dns.TypeMX, nil, Fail, "no MX"},
		{nullMXBelow, dns.TypeMX, nil, Warn, "no MX"},
		{nullMXBelow, dns.TypeMX, []string{"10 mail.example.com."}, Fail, "mail.example.com"},

		{spf, dns.TypeTXT, []string{`"v=spf1 -all"`}, Pass, ""},
		{spf, dns.TypeTXT, []string{`"v=spf1" " -all"`, `"other"`}, Pass, ""},
		{spf, dns.TypeTXT, []string{`"V=SPF1  -ALL"`}, Pass, ""},
		{spf, dns.TypeTXT, []string{`"v=spf1 -all exp=why.example.com"`}, Pass, ""},
		{spf, dns.TypeTXT, []string{`"v=spf1 ~all"`}, Warn, "not to reject"},
		{spf, dns.TypeTXT, []string{`"v=spf1 +all"`}, Fail, "every host"},
		{spf, dns.TypeTXT, []string{`"v=spf1 ?all"`}, Fail, "more than to forbid"},
		{spf, dns.TypeTXT, []string{`"v=spf1"`}, Fail, "forbids nothing"},
		{spf, dns.TypeTXT, []string{`"v=spf1 include:_spf.example.net -all"`}, Fail, "more than to forbid"},
		{spf, dns.TypeTXT, []string{`"v=spf1 redirect=example.net"`}, Fail, "more than to forbid"},
		{spf, dns.TypeTXT, []string{`"v=spf1 -all"`, `"v=spf1 -all ip4:192.0.2.1"`}, Fail, "2 SPF records"},
		{spf, dns.TypeTXT, []string{`"v=spf10 -all"`}, Fail, "no SPF record"},
		{spf, dns.TypeTXT, []string{`"v=spf1-all"`}, Fail, "no SPF record"},
		{spf, dns.TypeTXT, nil, Fail, "no SPF record"},

		{dmarc, dns.TypeTXT, []string{`"v=DMARC1; p=reject; sp=reject; np=reject; adkim=s; aspf=s;"`}, Pass, ""},
		{dmarc, dns.TypeTXT, []string{`"v=DMARC1;p=reject;adkim=s;aspf=s"`}, Pass, ""},
		{dmarc, dns.TypeTXT, []string{`"v=DMARC1; p=REJECT; adkim=s; aspf=s; rua=mailto:a@example.com,mailto:b@example.com!10m"`}, Pass, ""},
		{dmarc, dns.TypeTXT, []string{`"v=DMARC1; sp=reject; p=reject; adkim=s; aspf=s"`}, Warn, "directly after v="},
		{dmarc, dns.TypeTXT, []string{`"v=DMARC1; p=reject"`}, Warn, "adkim is relaxed"},
		{dmarc, dns.TypeTXT, []string{`"v=DMARC1; p=quarantine; adkim=s; aspf=s"`}, Warn, "as spam"},
		{dmarc, dns.TypeTXT, []string{`"v=DMARC1; p=reject; sp=none; adkim=s; aspf=s"`}, Fail, "for subdomains is none"},
		{dmarc, dns.TypeTXT, []string{`"v=DMARC1; p=reject; np=none; adkim=s; aspf=s"`}, Fail, "do not exist is none"},
		{dmarc, dns.TypeTXT, []string{`"v=DMARC1; p=reject; t=y; adkim=s; aspf=s"`}, Fail, "only tested"},
		{dmarc, dns.TypeTXT, []string{`"v=DMARC1; p=reject; pct=50; adkim=s; aspf=s"`}, Warn, "pct=50"},
		{dmarc, dns.TypeTXT, []string{`"v=DMARC1; p=reject; adkim=s; aspf=s; rua=reports@example.com"`}, Warn, "no mailto: address"},
		{dmarc, dns.TypeTXT, []string{`"v=DMARC1; adkim=s; aspf=s"`}, Fail, "no policy"},
		{dmarc, dns.TypeTXT, []string{`"v=DMARC1; p=none"`}, Fail, "is none"},
		{dmarc, dns.TypeTXT, []string{`"v=DMARC1; p=reject; p=none"`}, Fail, `"p" twice`},
		{dmarc, dns.TypeTXT, []string{`"v=DMARC1; reject"`}, Fail, `mistake at "reject"`},
		{dmarc, dns.TypeTXT, []string{`"v=DMARC1; p=reject"`, `"v=DMARC1; p=none"`}, Fail, "2 DMARC records"},
		{dmarc, dns.TypeTXT, []string{`"v=dmarc1; p=reject"`}, Fail, "no DMARC record, but"},
		{dmarc, dns.TypeTXT, []string{`"p=reject; v=DMARC1"`}, Fail, "no DMARC record, but"},
		{dmarc, dns.TypeTXT, nil, Fail, "no DMARC record"},
		{dmarcBelow, dns.TypeTXT, nil, Pass, ""},
		{dmarcBelow, dns.TypeTXT, []string{`"v=DMARC1; p=none"`}, Fail, "takes the place"},
		{dmarcBelow, dns.TypeTXT, []string{`"v=DMARC1; p=reject"`}, Pass, ""},
		{dmarcBelow, dns.TypeTXT, []string{`"v=spf1 -all"`}, Warn, "v=spf1"},

		{dkim, dns.TypeTXT, []string{`"v=DKIM1; p="`}, Pass, ""},
		{dkim, dns.TypeTXT, []string{`"v=DKIM1; p=;"`}, Pass, ""},
		{dkim, dns.TypeTXT, []string{`"v=DKIM1; k=rsa; p=MIGf"`}, Fail, "a valid key"},
		{dkim, dns.TypeTXT, []string{`"v=spf1 -all"`}, Warn, "no DKIM key"},
		{dkim, dns.TypeTXT, []string{`"v=DKIM1; p="`, `"v=DKIM1; k=rsa; p="`}, Warn, "undefined"},
		{dkim, dns.TypeTXT, nil, Warn, "no record"},

		{bimi, dns.TypeTXT, []string{`"v=BIMI1; l=; a=;"`}, Pass, ""},
		{bimi, dns.TypeTXT, []string{`"v=BIMI1; l=https://example.com/x.svg"`}, Warn, "shows a logo"},
		{bimi, dns.TypeTXT, nil, Info, ""},

		{caa, dns.TypeCAA, []string{`0 issue ";"`, `0 issuewild ";"`, `0 issuemail ";"`}, Pass, ""},
		{caa, dns.TypeCAA, []string{`0 issue ";"`, `0 issuemail ";"`, `0 iodef "mailto:a@example.com"`}, Pass, ""},
		{caa, dns.TypeCAA, []string{`0 issue ";"`}, Warn, "every authority may issue certificates for mail addresses"},
		{caa, dns.TypeCAA, []string{`0 issue ";"`, `0 issuewild "ca.example"`, `0 issuemail ";"`}, Warn, "ca.example may issue wildcard"},
		{caa, dns.TypeCAA, []string{`0 issue "ca.example; validationmethods=dns-01"`, `0 issuemail ";"`}, Warn, "ca.example may issue certificates; ca.example may issue wildcard"},
		{caa, dns.TypeCAA, []string{`0 iodef "mailto:a@example.com"`}, Warn, "every authority may issue certificates;"},
		{caa, dns.TypeCAA, nil, Warn, "no CAA"},
		{caaBelow, dns.TypeCAA, nil, Pass, ""},
		{caaBelow, dns.TypeCAA, []string{`0 issue "ca.example"`}, Warn, "ca.example"},

		{absent("v=STSv1"), dns.TypeTXT, nil, Pass, ""},
		{absent("v=STSv1"), dns.TypeTXT, []string{`"v=STSv1; id=1"`}, Warn, "has no mail"},
		{absent("v=STSv1"), dns.TypeTXT, []string{`"v=spf1 -all"`}, Warn, "for a mistake"},

		{address, dns.TypeA, []string{"192.0.2.1"}, Info, "A 192.0.2.1"},
		{address, dns.TypeAAAA, nil, Info, "no website"},
	} {
		a := answerOf(c.qtype, c.records...)
		if verdict, found := c.judge(e, a); verdict != c.want || !strings.Contains(found, c.tells) || found == "" {
			t.Errorf("%s %q: got %s %q, want %s with %q", dns.Type(c.qtype), c.records, verdict, found, c.want, c.tells)
		}
	}
}

// evidenceOf is evidence of servers that all answer, to be changed by a test.
func evidenceOf(servers int) *evidence {
	e := &evidence{domain: "example.com", delegation: &delegation{parent: "com", names: []string{"ns.example.net"}}}
	for i := range servers {
		soa := answer{msg: good(question("example.com", dns.TypeSOA, false))}
		s := &server{Server: Server{fmt.Sprintf("ns%d.example.net", i+1), netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), 53)}, main: soa, udp: soa, tcp: soa}
		s.records, s.offers = make([]answer, len(recordChecks)), make([]offer, 3)
		e.servers = append(e.servers, s)
	}
	return e
}

func TestServersThatDiffer(t *testing.T) {
	i := slices.IndexFunc(recordChecks, func(c recordCheck) bool { return c.check == "SPF" })
	e := evidenceOf(3)
	e.servers[0].records[i] = answerOf(dns.TypeTXT, `"v=spf1 -all"`)
	e.servers[1].records[i] = answerOf(dns.TypeTXT, `"v=spf1 -all"`)
	e.servers[2].records[i] = answerOf(dns.TypeTXT, `"v=spf1 -all"`, `"a word"`)
	row := e.judgeRecord(i)
	if row.Verdict != Warn || row.Found != "ns1.example.net (192.0.2.1): v=spf1 -all; ns3.example.net (192.0.2.3): v=spf1 -all" {
		t.Errorf("%+v", row)
	}
	e.servers[2].records[i] = answer{err: errNoResolver}
	if row := e.judgeRecord(i); row.Verdict != Fail {
		t.Errorf("%+v", row)
	}
	soa := answer{msg: good(question("example.com", dns.TypeSOA, false))}
	soa.msg.Answer[0].(*dns.SOA).Serial = 9
	e.servers[2].main = soa
	if verdict, found := serial(e); verdict != Warn || found != "they differ: 1 at ns1.example.net (192.0.2.1), ns2.example.net (192.0.2.2); 9 at ns3.example.net (192.0.2.3)" {
		t.Errorf("%s %q", verdict, found)
	}
}

func TestRecursion(t *testing.T) {
	foreign := func(authoritative, available bool, records ...string) answer {
		a := answerOf(dns.TypeA, records...)
		a.msg.Authoritative, a.msg.RecursionAvailable = authoritative, available
		return a
	}
	for _, c := range []struct {
		answer answer
		want   Verdict
	}{
		{foreign(true, false), Pass}, // it parks every domain
		{foreign(false, true, "192.0.2.1"), Fail},
		{foreign(false, false, "192.0.2.1"), Fail}, // from a cache
		{foreign(false, true), Warn},
		{answer{err: errNotAsked}, Pass},
	} {
		e := evidenceOf(1)
		e.servers[0].foreign = c.answer
		if verdict, found := recursion(e); verdict != c.want {
			t.Errorf("%v: got %s %q", c.answer, verdict, found)
		}
	}
}

func TestNamesThatAreDenied(t *testing.T) {
	e := evidenceOf(1)
	for i, c := range recordChecks {
		a := answerOf(c.qtype)
		if c.name == "*" && c.check == "SPF" {
			a = answerOf(c.qtype, `"v=spf1 -all"`)
		} else {
			a.msg.Rcode = dns.RcodeNameError
		}
		e.servers[0].records[i] = a
	}
	if verdict, found := nameExistence(e); verdict != Fail || !strings.Contains(found, "says NXDOMAIN when asked for CAA") {
		t.Errorf("%s %q", verdict, found)
	}
}

func TestDNSSEC(t *testing.T) {
	key := &dns.DNSKEY{Hdr: dns.RR_Header{Name: "example.com.", Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 60}, Flags: 257, Protocol: 3, Algorithm: dns.ECDSAP256SHA256}
	if _, err := key.Generate(256); err != nil {
		t.Fatal(err)
	}
	keys, ds := answerOf(dns.TypeDNSKEY), answerOf(dns.TypeDS)
	keys.msg.Answer = []dns.RR{key}
	ds.msg.Answer = []dns.RR{key.ToDS(dns.SHA256)}
	other := answerOf(dns.TypeDS, "12345 13 2 "+strings.Repeat("00", 32))
	resolved := answerOf(dns.TypeSOA)
	validated := answerOf(dns.TypeSOA)
	validated.msg.AuthenticatedData = true
	bogus := answerOf(dns.TypeSOA)
	bogus.msg.Rcode = dns.RcodeServerFailure
	none := answerOf(dns.TypeDS)
	for _, c := range []struct {
		ds, keys, resolved answer
		want               Verdict
		tells              string
	}{
		{none, none, resolved, Info, "unsigned"},
		{none, keys, resolved, Info, "nobody validates"},
		{ds, none, bogus, Fail, "no key at the domain"},
		{other, keys, bogus, Fail, "none of 1 DS"},
		{ds, keys, validated, Pass, "validates it"},
		{ds, keys, resolved, Pass, "does not say"},
		{ds, keys, bogus, Fail, "SERVFAIL"},
	} {
		e := evidenceOf(1)
		e.delegation.ds, e.dnskey, e.resolved = c.ds, c.keys, c.resolved
		if verdict, found := dnssec(e); verdict != c.want || !strings.Contains(found, c.tells) {
			t.Errorf("got %s %q, want %s with %q", verdict, found, c.want, c.tells)
		}
	}
}

// TestReportsOfOthers: those of the same organisation need no leave.
func TestReportsOfOthers(t *testing.T) {
	for target, want := range map[string]bool{
		"example.com": true, "mail.example.com": true, "example.net": false, "notexample.com": false, "com": false,
	} {
		if got := sameOrganisation(target, "example.com"); got != want {
			t.Errorf("%s: got %t", target, got)
		}
	}
	if sameOrganisation("a.co.uk", "b.co.uk") || !sameOrganisation("r.a.co.uk", "a.co.uk") {
		t.Error("a public suffix is no organisation")
	}
	e := evidenceOf(1)
	e.reports = []reportTarget{{"example.net", answerOf(dns.TypeTXT, `"v=DMARC1;"`)}, {"example.org", answerOf(dns.TypeTXT)}}
	if verdict, found := reportsWanted(e); verdict != Fail || !strings.HasSuffix(found, "example.com._report._dmarc.example.org does not say so") {
		t.Errorf("%s %q", verdict, found)
	}
	e.reports = e.reports[:1]
	if verdict, found := reportsWanted(e); verdict != Pass || found != "wanted by example.net" {
		t.Errorf("%s %q", verdict, found)
	}
}

func TestNames(t *testing.T) {
	for written, want := range map[string]string{
		"example.com": "example.com", " Example.COM. ": "example.com", "bücher.example": "xn--bcher-kva.example",
		"xn--bcher-kva.example": "xn--bcher-kva.example", "münchen。example": "xn--mnchen-3ya.example", "a-b.example": "a-b.example",
	} {
		if got, err := Name(written); got != want || err != nil {
			t.Errorf("%q: got %q, %v", written, got, err)
		}
	}
	for written, want := range map[string]string{
		"": "expected a domain", ".": "expected a domain", "com": "top-level", "http://example.com/": "a URL", "a@example.com": "mail address",
		"192.0.2.1": "an address", "2001:db8::1": "an address", "*.example.com": "without *", "a..example.com": "no domain name", ".example.com": "no domain name",
		"a b.example": "no domain name", "-a.example": "no domain name", "xn--\x80.example": "no domain name", "a\x00.example": "no domain name",
		strings.Repeat("a", 64) + ".example": "63 is the most", strings.Repeat("abcdefg.", 30) + "example": "leave no room", "_dmarc.example.com": "no domain name",
		"xn--zzzzzz99999.example": "no domain name",
	} {
		if got, err := Name(written); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %q, %v, want %q", written, got, err, want)
		}
	}
}

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{`plain`: "plain", `a\"b`: `a"b`, `\027[2J`: "\x1b[2J", `\\`: `\`, `\25`: "25", `x\`: `x\`} {
		if got := unescape(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
