package main

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"domainpark/certs"
	"domainpark/resolver"

	"github.com/miekg/dns"
)

const (
	// maxVerified is how many signatures of each zone "check" verifies: a second's
	// worth of ECDSA.
	maxVerified = 10_000
	noSignature = 0

	// soon is how long before a signature expires a warning comes: half of the
	// quarter of their life at which signers make new ones, with 30 days.
	soon = 3 * 24 * time.Hour

	// manyIterations is beyond what BIND, Knot Resolver and PowerDNS Recursor do, since
	// CVE-2023-50868: they take the zone for unsigned.
	manyIterations = 50

	// maxSignatureLines bounds how many zones the log names.
	maxSignatureLines = 10
)

// signatureTime is a time of an RRSIG record, which is modulo 2^32 seconds, near
// now (RFC 4034 §3.1.5).
func signatureTime(t uint32, now time.Time) time.Time {
	return now.Add(time.Duration(int32(t-uint32(now.Unix()))) * time.Second).Truncate(time.Second)
}

// firstExpiry is when the first signature of all zones expires; the zero time:
// no zone is signed.
func firstExpiry(zones []resolver.ZoneInfo, now time.Time) (first time.Time) {
	for _, z := range zones {
		if z.Signed == nil {
			continue
		}
		if t := signatureTime(z.Signed.Expires, now); first.IsZero() || t.Before(first) {
			first = t
		}
	}
	return first
}

// signatureProblem is what is wrong at now with the signatures of a zone; empty:
// nothing is.
func signatureProblem(z resolver.ZoneInfo, now time.Time) string {
	const date = "2006-01-02 15:04 UTC"
	s := z.Signed
	if s == nil {
		return ""
	}
	expires, begins := signatureTime(s.Expires, now).UTC(), signatureTime(s.Begins, now).UTC()
	switch {
	case !now.Before(expires):
		return fmt.Sprintf("signatures of %s have expired, the first on %s (%s): resolvers that validate take it for bogus; hint: sign the zone again", z.Name, expires.Format(date), s.ExpiresAt)
	case begins.After(now):
		return fmt.Sprintf("signatures of %s are not valid yet, the last from %s on (%s); hint: look at the clocks of this machine and the one that signs", z.Name, begins.Format(date), s.BeginsAt)
	case expires.Sub(now) < soon:
		return fmt.Sprintf("signatures of %s expire soon, the first on %s (%s); hint: sign the zone again", z.Name, expires.Format(date), s.ExpiresAt)
	case s.Iterations > manyIterations:
		return fmt.Sprintf("NSEC3 of %s has %d iterations, and resolvers take zones with more than %d for unsigned (RFC 9276 §3.2); hint: sign it with 0", z.Name, s.Iterations, manyIterations)
	case s.Iterations > 0:
		return fmt.Sprintf("NSEC3 of %s is iterated, by %d: that protects nothing, costs each denial as many rounds of hashing, and resolvers may take the zone for unsigned (RFC 9276 §3.1); hint: sign it with 0 iterations", z.Name, s.Iterations)
	}
	return ""
}

// signatureFindings are about zones that are signed.
func (p *plan) signatureFindings(now time.Time) (out []finding) {
	for _, z := range p.answers.Zones() {
		if problem := signatureProblem(z, now); problem != "" {
			out = append(out, p.finding(certs.Warning, "zones", problem))
		}
	}
	return out
}

// reportFindings tell where DMARC reports stay away because a signed zone can't
// be given records by us.
func (p *plan) reportFindings() (out []finding) {
	signed := map[string]bool{}
	for _, z := range p.answers.Zones() {
		signed[z.Name] = z.Signed != nil
	}
	seen := map[string]bool{}
	for _, mailbox := range slices.Concat(p.settings.Parking.DMARC.RUA, p.settings.Parking.DMARC.RUF) {
		domain := strings.ToLower(mailbox[strings.LastIndexByte(mailbox, '@')+1:])
		domain = domain[:cmp.Or(max(strings.IndexAny(domain, "!?,"), 0), len(domain))]
		if !within(domain, signed) || seen[domain] {
			continue
		}
		seen[domain] = true
		m, err := p.ask("any.example._report._dmarc."+dns.Fqdn(domain), dns.TypeTXT)
		if err == nil && len(m.Answer) == 0 {
			out = append(out, p.finding(certs.Warning, "parking.dmarc", fmt.Sprintf("reports to %s are not authorised: its zone is signed, so nothing can be added to it here; hint: add *._report._dmarc TXT \"v=DMARC1;\" to it and sign it again", domain)))
		}
	}
	return out
}

// within tells whether the deepest of zones that domain lies in is marked.
func within(domain string, zones map[string]bool) bool {
	for name := domain; name != ""; _, name, _ = strings.Cut(name, ".") {
		if marked, ok := zones[name]; ok {
			return marked
		}
	}
	return false
}

// warnOfSignatures logs what is wrong at now with the signatures of zones.
func (srv *server) warnOfSignatures(now time.Time, log *slog.Logger) {
	lines := 0
	for _, z := range srv.answers.Zones() {
		problem := signatureProblem(z, now)
		if problem == "" {
			continue
		}
		if lines++; lines <= maxSignatureLines {
			log.Warn(problem)
		}
	}
	if lines > maxSignatureLines {
		log.Warn("more zones have such signatures: domain-park check names all", "zones", lines-maxSignatureLines)
	}
}
