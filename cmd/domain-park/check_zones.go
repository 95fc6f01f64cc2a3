package main

import (
	"fmt"
	"net/url"
	"strings"

	"domainpark/certs"
	"domainpark/config"

	"github.com/miekg/dns"
	"golang.org/x/net/publicsuffix"
)

// maxZonesShown is how many zones "check" names.
const maxZonesShown = 3

// zonesText says which zones are answered; empty when there are none.
func (p *plan) zonesText() string {
	zones := p.answers.Zones()
	if p.settings.Zones == "" {
		return ""
	}
	var names []string
	records, signed, verified := 0, 0, 0
	for i, z := range zones {
		records += z.Records
		if z.Signed != nil {
			signed++
			verified += z.Signed.Verified
		}
		if i < maxZonesShown {
			names = append(names, z.Name)
		}
	}
	text := fmt.Sprintf("%d with %d records, from %s", len(zones), records, p.settings.Zones)
	if len(names) > 0 {
		text += ": " + strings.Join(names, ", ")
	}
	if more := len(zones) - len(names); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	if signed > 0 {
		text += fmt.Sprintf("; %d signed, %d signatures verified", signed, verified)
	}
	return text
}

// caaFindings tells where a zone's CAA records forbid a certificate that is asked
// for. It is no mistake yet: another server may have the certificate in hand.
func (p *plan) caaFindings() []finding {
	authority, err := url.Parse(p.settings.TLS.ACME.Directory)
	if err != nil {
		return nil
	}
	var out []finding
	for _, host := range p.settings.TLS.ACME.Hosts {
		name, records, err := p.caaOf(host)
		if err != nil || len(records) == 0 {
			continue
		}
		allowed, any := issuers(records)
		if any || allows(allowed, authority.Hostname()) {
			continue
		}
		who := "nobody"
		if len(allowed) > 0 {
			who = strings.Join(allowed, " and ") + " alone"
		}
		out = append(out, p.finding(certs.Warning, "tls.acme.hosts", fmt.Sprintf("CAA of %s allows %s, which forbids the certificate for %s; hint: add %s. CAA 0 issue %q to its zone",
			name, who, host, name, issuerName(authority.Hostname()))))
	}
	return out
}

// caaOf climbs from host to the first name that has CAA records (RFC 8659 §3).
func (p *plan) caaOf(host string) (name string, records []*dns.CAA, err error) {
	for name = host; name != ""; _, name, _ = strings.Cut(name, ".") {
		m, err := p.ask(dns.Fqdn(name), dns.TypeCAA)
		if err != nil {
			return "", nil, err
		}
		for _, rr := range m.Answer {
			if caa, ok := rr.(*dns.CAA); ok {
				records = append(records, caa)
			}
		}
		if len(records) > 0 {
			return name, records, nil
		}
	}
	return "", nil, nil
}

// issuers lists who may issue. any tells that the records leave it open (RFC
// 8659 §4.2).
func issuers(records []*dns.CAA) (allowed []string, any bool) {
	any = true
	for _, caa := range records {
		if !strings.EqualFold(caa.Tag, "issue") {
			continue
		}
		any = false
		domain, _, _ := strings.Cut(caa.Value, ";")
		if domain = strings.ToLower(strings.TrimSpace(domain)); domain != "" {
			allowed = append(allowed, domain)
		}
	}
	return allowed, any
}

// allows tells whether one of the issuers is the authority whose directory is
// at host. Which domains an authority goes by only its directory tells (RFC
// 8555 §7.1.1, caaIdentities); most are the one that it lies in.
func allows(allowed []string, host string) bool {
	for _, domain := range allowed {
		if host == domain || strings.HasSuffix(host, "."+domain) {
			return true
		}
	}
	return false
}

func issuerName(host string) string {
	if domain, err := publicsuffix.EffectiveTLDPlusOne(host); err == nil {
		return domain
	}
	return host
}

// zoneProblems are the mistakes that keep the zones from being read at all.
func zoneProblems(s *config.Settings, err error) []config.Problem {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		var out []config.Problem
		for _, err := range all.Unwrap() {
			out = append(out, s.Problem("zones", err.Error()))
		}
		return out
	}
	return []config.Problem{s.Problem("zones", err.Error())}
}
