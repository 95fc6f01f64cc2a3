package audit

import (
	"strings"

	"domainpark/query"

	"github.com/miekg/dns"
)

// recordCheck is a row of the table of records: what every server is asked,
// and what to do when the answer is not as it should be.
type recordCheck struct {
	check string
	name  string // below the domain: @ is the domain, a * label a random one
	qtype uint16
	judge func(e *evidence, a answer) (Verdict, string)
	fix   string
}

// recordChecks are the records that keep others from using a domain. Each is
// asked of each server.
var recordChecks = []recordCheck{
	{"null MX", "@", dns.TypeMX, nullMX, `publish "@ MX 0 ." and no other MX (RFC 7505 §3)`},
	{"null MX", "*", dns.TypeMX, nullMXBelow, `publish "* MX 0 ." (RFC 7505 §3)`},
	{"SPF", "@", dns.TypeTXT, spf, `publish exactly one TXT record that begins with v=spf1, "v=spf1 -all" (RFC 7208 §3.2, §5.1)`},
	{"SPF", "*", dns.TypeTXT, spf, `publish "* TXT v=spf1 -all": SPF is not inherited (RFC 7208 §10.1.2)`},
	{"DMARC", "_dmarc", dns.TypeTXT, dmarc, `publish "v=DMARC1; p=reject; sp=reject; np=reject; adkim=s; aspf=s;" with rua= where you read reports (RFC 9989 §4.7)`},
	{"DMARC", "_dmarc.*", dns.TypeTXT, dmarcBelow, `publish nothing at _dmarc names of subdomains, so that the policy of the domain holds (RFC 9989 §4.10)`},
	{"DKIM", "*._domainkey", dns.TypeTXT, dkim, `publish "*._domainkey TXT v=DKIM1; p=", which revokes every key (RFC 6376 §3.6.1)`},
	{"DKIM", "*._domainkey.*", dns.TypeTXT, dkim, `revoke the keys of subdomains, too: "v=DKIM1; p=" (RFC 6376 §3.6.1)`},
	{"BIMI", "default._bimi", dns.TypeTXT, bimi, `publish "*._bimi TXT v=BIMI1; l=; a=;", which declines to show a logo`},
	{"CAA", "@", dns.TypeCAA, caa, `publish CAA 0 issue ";", 0 issuewild ";" and 0 issuemail ";", so that nobody gets a certificate (RFC 8659 §4.2, RFC 9495 §3)`},
	{"CAA", "*", dns.TypeCAA, caaBelow, `publish no CAA below the domain that allows more than the domain's own (RFC 8659 §3)`},
	{"MTA-STS", "_mta-sts", dns.TypeTXT, absent("v=STSv1"), `publish nothing at _mta-sts: a domain without mail has no policy for it (RFC 8461 §3.1)`},
	{"TLS-RPT", "_smtp._tls", dns.TypeTXT, absent("v=TLSRPTv1"), `publish nothing at _smtp._tls: a domain without mail gets no reports of it (RFC 8460 §3)`},
	{"address", "@", dns.TypeA, address, ""},
	{"address", "@", dns.TypeAAAA, address, ""},
}

// owner is the name that the row is about.
func (c *recordCheck) owner(random, domain string) string {
	if c.name == "@" {
		return domain
	}
	return strings.ReplaceAll(c.name, "*", random) + "." + domain
}

// shown is the name that reports show.
func (c *recordCheck) shown(domain string) string { return c.owner("*", domain) }

// when tells for which audits a row is.
type when uint8

const (
	always    when = iota
	delegated      // the delegation was followed
	direct         // one server was chosen
)

// domainCheck is a row of the table of what is not one record.
type domainCheck struct {
	check string
	when  when
	judge func(e *evidence) (Verdict, string)
	fix   string
}

// serverChecks are about the delegation and the servers.
var serverChecks = []domainCheck{
	{"delegation", delegated, parentSide, "have the registrar set the name servers, two or more, on different networks (RFC 2182 §3.1)"},
	{"NS", always, nameServers, "make the registrar's list of name servers and the NS records of the domain the same (RFC 1034 §4.2.2)"},
	{"glue", delegated, glue, "have the registrar correct the addresses of the name servers (RFC 1034 §4.2.1)"},
	{"UDP", always, overUDP, "let each server answer for the domain, over UDP on port 53 of each of its addresses"},
	{"TCP", always, overTCP, "let each server answer over TCP as well: truncated answers come back over it (RFC 9210 §3)"},
	{"certificate", direct, certificate, "give the server a certificate that names it, by an authority that its clients trust"},
	{"SOA serial", always, serial, "bring the servers to the same version of the zone: see whether transfers or settings lag behind"},
	{"recursion", always, recursion, "turn recursion off: a server that resolves for everybody is a tool for attacks (RFC 5358 §4)"},
	{"names", always, nameExistence, "answer NOERROR for names that have records: resolvers take NXDOMAIN for all types and all names below (RFC 8020 §2)"},
}

// moreChecks follow from several answers.
var moreChecks = []domainCheck{
	{"DMARC reports", always, reportsWanted, `take the address out, or have its domain publish "v=DMARC1;" at the name shown (RFC 9990 §4)`},
	{"DNSSEC", always, dnssec, "have the registrar remove the DS records, or sign the zone with the keys that they name: until then, resolvers that validate find nothing (RFC 4035 §5.2)"},
	{"resolution", delegated, resolution, "see the rows above: a resolver does not come through"},
	{"DoT", delegated, encryption(query.DoT), ""},
	{"DoQ", delegated, encryption(query.DoQ), ""},
	{"DoH", delegated, encryption(query.DoH), ""},
}

// judge makes a report of evidence.
func judge(e *evidence) *Report {
	r := &Report{Domain: e.domain, Verdict: Pass}
	e.judgeDomain(r, serverChecks)
	if len(e.living()) > 0 {
		for i := range recordChecks {
			r.add(e.judgeRecord(i))
		}
		e.judgeDomain(r, moreChecks)
	}
	return r
}

func (e *evidence) judgeDomain(r *Report, checks []domainCheck) {
	for _, c := range checks {
		if c.when == delegated && e.delegation == nil || c.when == direct && e.delegation != nil {
			continue
		}
		if verdict, found := c.judge(e); found != "" {
			r.add(Row{c.check, e.domain, verdict, found, c.fix})
		}
	}
}

// judgeRecord judges what the servers say of one record. Those that say the
// same are judged once; the worst counts.
func (e *evidence) judgeRecord(i int) Row {
	c := &recordChecks[i]
	row := Row{Check: c.check, Name: c.shown(e.domain), Advice: c.fix}
	said := map[string]*server{}
	var first string
	for _, s := range e.living() {
		a := s.records[i]
		key := a.key()
		if said[key] != nil {
			continue
		}
		said[key] = s
		verdict, found := Fail, a.failed()
		if found == "" {
			verdict, found = c.judge(e, a)
		}
		if _, alias := a.end(); alias && found != "" {
			target, _ := a.end()
			found += ", by an alias of " + plain(target)
		}
		if len(said) == 1 {
			row.Verdict, row.Found, first = verdict, found, s.String()
			continue
		}
		if len(said) == 2 {
			row.Found = first + ": " + row.Found
		}
		row.Found += "; " + s.String() + ": " + found
		row.Verdict = max(row.Verdict, verdict)
		if row.Verdict == Pass {
			row.Verdict = Warn // right, but not the same
		}
	}
	return row
}
