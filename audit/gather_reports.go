package audit

import (
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// reportTarget is a domain that a DMARC record sends reports to, and whether it
// wants them (RFC 9990 §4).
type reportTarget struct {
	domain string
	answer answer
}

// maxReportTargets bounds the domains that reports go to.
const maxReportTargets = 10

// askReports asks whether reports may be sent to domains that the audited one
// is no part of.
func (g *gathering) askReports() {
	for _, target := range g.reportTargets() {
		g.reports = append(g.reports, reportTarget{domain: target})
	}
	for i := range g.reports {
		t := &g.reports[i]
		g.do(func() { t.answer = g.resolve(g.ctx, g.domain+"._report._dmarc."+t.domain, dns.TypeTXT) })
	}
	g.wg.Wait()
}

// reportTargets are the domains of others in the DMARC record of the domain.
func (e *evidence) reportTargets() (targets []string) {
	for _, s := range e.living() {
		for _, a := range s.answersOf("_dmarc", dns.TypeTXT) {
			record, _ := parseDMARC(a.texts())
			for _, to := range record.mailboxes() {
				target := strings.ToLower(to[strings.LastIndexByte(to, '@')+1:])
				if !sameOrganisation(target, e.domain) && !slices.Contains(targets, target) && len(targets) < maxReportTargets {
					targets = append(targets, target)
				}
			}
		}
	}
	return targets
}
