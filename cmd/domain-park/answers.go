package main

import (
	"fmt"
	"io"
	"net/netip"
	"time"

	"domainpark/query"

	"github.com/miekg/dns"
)

// shown are the questions whose answers "check" prints, of a parked domain.
var shown = []struct {
	owner   string // in front of the domain
	qtype   uint16
	meaning string // for people who know no DNS
}{
	{"", dns.TypeMX, "No host accepts mail for this domain."},
	{"", dns.TypeTXT, "No host sends mail for this domain."},
	{"_dmarc.", dns.TypeTXT, "Mail that claims to come from this domain is to be rejected."},
	{"selector._domainkey.", dns.TypeTXT, "Every key that mail could be signed with is revoked."},
	{"default._bimi.", dns.TypeTXT, "There is no logo to show beside mail."},
	{"", dns.TypeCAA, "No authority may issue a certificate."},
	{"", dns.TypeNS, "The name servers of the domain."},
	{"", dns.TypeSOA, "Where the domain's records begin, and whom to write to about them."},
}

// showAnswers asks the resolver about a parked domain and prints what it says,
// as a client would see it.
func (p *plan) showAnswers(w io.Writer) error {
	domain := p.example()
	fmt.Fprintf(w, "\nanswers for %s, as an example:\n", domain)
	for _, s := range shown {
		m, err := p.ask(dns.Fqdn(s.owner+domain), s.qtype)
		if err != nil {
			return err
		}
		if len(m.Answer) == 0 {
			fmt.Fprintf(w, "%s\t%s: %s without records\n", m.Question[0].Name, dns.Type(s.qtype), dns.RcodeToString[m.Rcode])
		}
		for _, rr := range m.Answer {
			fmt.Fprintln(w, rr)
		}
	}
	return nil
}

// example is a domain that is parked here.
func (p *plan) example() string {
	if only := p.settings.Parking.Only; len(only) > 0 {
		return only[0]
	}
	return "example.com"
}

// ask is a query of our own over TCP, which has no limit to speak of.
func (p *plan) ask(name string, qtype uint16) (*dns.Msg, error) {
	wire, err := new(dns.Msg).SetQuestion(name, qtype).Pack()
	if err != nil {
		return nil, fmt.Errorf("asking for %s %s: %w", name, dns.Type(qtype), err)
	}
	answer := p.answers.Unobserved().Resolve(nil, &query.Query{
		Message:   wire,
		Client:    netip.AddrPortFrom(netip.IPv6Loopback(), 53),
		Transport: query.TCP,
		Received:  time.Now(),
	})
	m := new(dns.Msg)
	if err := m.Unpack(answer); err != nil {
		return nil, fmt.Errorf("the answer for %s %s can't be read: %w", name, dns.Type(qtype), err)
	}
	return m, nil
}
