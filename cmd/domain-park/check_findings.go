package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"domainpark/certs"
	"domainpark/config"
	"domainpark/listeners"
	"domainpark/store"
	"domainpark/telemetry"
)

// finding is what "check" has to say about a setting.
type finding struct {
	severity certs.Severity
	config.Problem
}

// finding is one about key. text may end in a hint.
func (p *plan) finding(severity certs.Severity, key, text string) finding {
	problem := p.settings.Problem(key, text)
	problem.Reason, problem.Hint, _ = strings.Cut(text, "; hint: ")
	return finding{severity, problem}
}

// text is the finding in one line, without its place.
func (f finding) text() string {
	text := f.Reason
	if f.Key != "" {
		text = f.Key + ": " + text
	}
	if f.Hint != "" {
		text += "; hint: " + f.Hint
	}
	return text
}

// examine loads the settings and looks at all that "serve" needs to start.
// err is what it would not start for; found is what works and may not be
// meant, the worst first.
func (c *checkCommand) examine() (p *plan, found []finding, err error) {
	c.verify = maxVerified
	p, err = c.plan(atStart, func(s *config.Settings, _ bool) (wrong []config.Problem) {
		around := &plan{settings: s, listen: c.listen(s)}
		for _, f := range slices.Concat(around.certificateFindings(), around.addressFindings(c.Elsewhere), around.directoryFindings(c.Elsewhere), around.userFindings(c.Elsewhere)) {
			if f.severity == certs.Error {
				wrong = append(wrong, f.Problem)
			} else {
				found = append(found, f)
			}
		}
		return wrong
	})
	if err == nil {
		found = slices.Concat(p.oddities(), p.adminFindings(), p.rootFindings(), p.caaFindings(), p.signatureFindings(time.Now()), p.reportFindings(), found)
		var more []finding
		more, err = p.rightsFindings(c.Elsewhere)
		found = append(found, more...)
	}
	slices.SortStableFunc(found, func(a, b finding) int { return cmp.Compare(b.severity, a.severity) })
	return p, found, err
}

// oddities are settings that work and may not be meant.
func (p *plan) oddities() (out []finding) {
	if len(p.settings.NameServers) == 1 {
		out = append(out, p.finding(certs.Warning, "nameservers", "one name server: registries ask for two or more (RFC 2182)"))
	}
	if len(p.listen.UDP) == 0 || len(p.listen.TCP) == 0 {
		out = append(out, p.finding(certs.Warning, "listen", "resolvers expect both UDP and TCP (RFC 9210)"))
	}
	local := true
	for _, l := range listening(p.listen) {
		for _, a := range l.addresses {
			local = local && (l.transport == "admin" || loopback(a))
		}
	}
	if local {
		out = append(out, p.finding(certs.Note, "listen", "loopback only: nobody outside this machine is answered"))
	}
	return out
}

// addressFindings are addresses that can't be bound: at all, or here and by
// this user.
func (p *plan) addressFindings(elsewhere bool) (out []finding) {
	l := p.listen
	cfg := listeners.Config{UDP: l.UDP, TCP: l.TCP, DoT: l.DoT, DoH: l.DoH, DoQ: l.DoQ, HTTP: l.HTTP}
	for _, o := range listeners.Preview(cfg, l.Admin) {
		severity := certs.Error
		if errors.Is(o.Err, fs.ErrPermission) { // a service manager may hand the socket over
			severity = certs.Warning
		}
		if !o.Here || !elsewhere {
			out = append(out, p.finding(severity, "listen."+o.Transport, o.Address+": "+o.Err.Error()))
		}
	}
	return out
}

// userFindings are about who the server is to become.
func (p *plan) userFindings(elsewhere bool) []finding {
	_, err := identityOf(p.settings)
	var problem config.Problem
	if elsewhere || !errors.As(err, &problem) {
		return nil
	}
	return []finding{{certs.Error, problem}}
}

// directoryFindings are about what is written to: the store and the query log.
func (p *plan) directoryFindings(elsewhere bool) (out []finding) {
	if elsewhere {
		return nil
	}
	s := p.settings
	if dir := s.Store.Directory; dir != "" {
		severity := certs.Error
		if !p.needsStore() {
			severity = certs.Note // it goes without
		}
		if err := store.Check(dir); err != nil {
			out = append(out, p.finding(severity, "store.directory", err.Error()))
		} else if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o077 != 0 {
			out = append(out, p.finding(certs.Warning, "store.directory", fmt.Sprintf("mode %04o lets others look into it; hint: run: chmod 700 %s", info.Mode().Perm(), dir)))
		}
	}
	if file := s.Telemetry.Queries.File; file != "" {
		if err := telemetry.CheckQueryLog(file); err != nil {
			out = append(out, p.finding(certs.Error, "telemetry.queries.file", err.Error()))
		}
	}
	return out
}

// jsonFinding is a finding as --json prints it. What is not known is left out.
type jsonFinding struct {
	Severity string `json:"severity"` // error, warning or note
	File     string `json:"file,omitempty"`
	Line     int    `json:"line,omitempty"`
	Column   int    `json:"column,omitempty"`
	Key      string `json:"key,omitempty"`
	Problem  string `json:"problem"`
	Hint     string `json:"hint,omitempty"`
}

// printFindings writes what was found, and the mistakes in err, as JSON. Its
// error has nothing to say and ends the program with the status of mistakes.
func printFindings(w io.Writer, file string, found []finding, err error) error {
	out := struct {
		File     string        `json:"file,omitempty"` // the settings file
		OK       bool          `json:"ok"`
		Findings []jsonFinding `json:"findings"`
		More     int           `json:"more,omitempty"` // errors that are not listed
	}{File: file, OK: err == nil, Findings: []jsonFinding{}}
	var wrong config.Problems
	if err != nil && !errors.As(err, &wrong) {
		wrong = config.Problems{{Reason: err.Error()}}
	}
	shown := wrong[:min(len(wrong), config.MaxProblemsShown)]
	out.More = len(wrong) - len(shown)
	all := make([]finding, 0, len(shown)+len(found))
	for _, p := range shown {
		all = append(all, finding{certs.Error, p})
	}
	for _, f := range append(all, found...) {
		reason, hint, _ := strings.Cut(f.Reason, "; hint: ")
		out.Findings = append(out.Findings, jsonFinding{f.severity.String(), f.File, f.Line, f.Column, f.Key, reason, cmp.Or(f.Hint, hint)})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if writeErr := e.Encode(out); writeErr != nil {
		return writeErr
	}
	if err != nil {
		return statusError{status: 1}
	}
	return nil
}
