package main

import (
	"strings"
	"time"

	"domainpark/certs"
	"domainpark/store"
)

// certificateFindings is what can be said of the certificates without asking
// anybody.
func (p *plan) certificateFindings() (out []finding) {
	for _, f := range p.certificates() {
		list, _, _ := strings.Cut(f.Setting, "[") // positions are known of lists, not of their elements
		found := p.finding(f.Severity, list, f.Text)
		found.Key, found.Hint = f.Setting, f.Hint
		out = append(out, found)
	}
	return out
}

func (p *plan) certificates() []certs.Finding {
	if !p.encrypted() {
		return p.idleCertificates()
	}
	cfg := p.certsConfig()
	cfg.Store = new(store.Dir) // openStore opens one when it is needed, and checking leaves no traces
	return certs.Check(cfg, time.Now())
}

// idleCertificates is about files that nothing uses yet. What is wrong
// with them stops no server, and is better known before it does.
func (p *plan) idleCertificates() []certs.Finding {
	files := p.certsConfig().Files
	if len(files) == 0 {
		return nil
	}
	findings := certs.Check(certs.Config{Files: files}, time.Now())
	for i := range findings {
		findings[i].Severity = min(findings[i].Severity, certs.Warning)
	}
	return append(findings, certs.Finding{Severity: certs.Note, Setting: "tls.certificates",
		Text: "not in use: no encrypted transport is listened on", Hint: "set listen.dot, listen.doh or listen.doq"})
}
