package main

import (
	"time"

	"domainpark/certs"
	"domainpark/config"
	"domainpark/store"
)

// certificateFindings is what can be said of the certificates without asking
// anybody.
func (srv *server) certificateFindings() []certs.Finding {
	if !srv.encrypted() {
		return nil
	}
	cfg := srv.certsConfig()
	cfg.Store = new(store.Dir) // openStore opens one when it is needed, and checking leaves no traces
	return certs.Check(cfg, time.Now())
}

// checkCertificates returns what does not work.
func (srv *server) checkCertificates() error {
	var problems config.Problems
	for _, f := range srv.certificateFindings() {
		if f.Severity == certs.Error {
			problems = append(problems, srv.settings.Problem(f.Setting, hinted(f)))
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
