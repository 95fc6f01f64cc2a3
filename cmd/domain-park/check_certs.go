package main

import (
	"strings"
	"time"

	"domainpark/certs"
	"domainpark/config"
	"domainpark/store"
)

// certificateFindings is what can be said of the certificates without asking
// anybody.
func (srv *server) certificateFindings() []certs.Finding {
	if !srv.encrypted() {
		return srv.idleCertificateFindings()
	}
	cfg := srv.certsConfig()
	cfg.Store = new(store.Dir) // openStore opens one when it is needed, and checking leaves no traces
	return certs.Check(cfg, time.Now())
}

// idleCertificateFindings is about files that nothing uses yet. What is wrong
// with them stops no server, and is better known before it does.
func (srv *server) idleCertificateFindings() []certs.Finding {
	files := srv.certsConfig().Files
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

// checkCertificates returns what does not work.
func (srv *server) checkCertificates() error {
	var problems config.Problems
	for _, f := range srv.certificateFindings() {
		if f.Severity == certs.Error {
			list, _, _ := strings.Cut(f.Setting, "[") // positions are known of lists, not of their elements
			p := srv.settings.Problem(list, hinted(f))
			p.Key = f.Setting
			problems = append(problems, p)
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return problems
}

// certificateNotes is what works and may not be meant.
func (srv *server) certificateNotes() (out []string) {
	for _, f := range srv.certificateFindings() {
		if f.Severity != certs.Error {
			out = append(out, f.Setting+": "+hinted(f))
		}
	}
	return out
}

func hinted(f certs.Finding) string {
	if f.Hint == "" {
		return f.Text
	}
	return f.Text + "; hint: " + f.Hint
}
