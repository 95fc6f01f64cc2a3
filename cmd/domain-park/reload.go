package main

import (
	"errors"
	"log/slog"
	"strings"
	"time"

	"domainpark/certs"
	"domainpark/config"
	"domainpark/listeners"
	"domainpark/telemetry"
)

// A reload builds all that the settings come to beside what is in force, and
// then either puts it into force or leaves everything as it is:
//
//	settings, profile, lists, zones → plan   all mistakes at once, as at start
//	new addresses, certificates, query log → opened beside those in use
//	limits, answers, certificates, listeners → swapped; nothing can fail any more
//
// A query takes what it is answered from once, at its start. What no reload can
// change (config.Option.Restart) stays, and the log names it.

// reload reads everything anew, because of a signal.
func (srv *server) reload(log *slog.Logger) error {
	next, err := srv.source.plan(besideAnswer)
	if err != nil {
		return err
	}
	if err := srv.compareZones(next.settings, next.answers, log); err != nil {
		return err
	}
	fixed := next.settings.KeepFixed(srv.settings)
	next.listen = srv.source.listen(next.settings)
	opened, err := srv.openFor(next, log)
	if err != nil {
		return err
	}
	if err := srv.guard.Reload(srv.policyFor(next, log), time.Now()); err != nil {
		return errors.Join(err, opened.close()) // next has checked it
	}
	srv.resolver.Adopt(next.answers)
	before := srv.settings.Policy.Timeouts
	srv.plan = *next
	srv.take(opened, log)
	srv.level.Set(logLevel(srv.settings))
	if before != srv.settings.Policy.Timeouts && len(srv.listen.DoH)+len(srv.listen.HTTP) > 0 {
		log.Info("the new policy.timeouts hold for all but HTTP/1.1 on addresses that stay: that takes a restart")
	}
	if len(fixed) > 0 {
		log.Warn("changed in the settings, but needs a restart", "settings", strings.Join(fixed, ", "))
	}
	return nil
}

// opened is what a plan needs besides memory, opened beside what is in use.
type opened struct {
	change   *listeners.Change
	certs    *certs.Source // nil: nothing encrypted has been listened on so far
	renew    func()        // puts the certificates into force; nil: there is nothing to do
	queryLog *telemetry.QueryLog
	newLog   bool // queryLog, or that there is none, is new
}

// openFor opens what next needs. Its error tells all that can't be had.
func (srv *server) openFor(next *plan, log *slog.Logger) (*opened, error) {
	o := &opened{certs: srv.certs.Load()}
	errs := []error{srv.openCerts(o, next, log)}
	if o.newLog = next.settings.Telemetry.Queries != srv.settings.Telemetry.Queries; o.newLog {
		var err error
		o.queryLog, err = srv.queryLogFor(next, log)
		errs = append(errs, err)
	}
	if o.certs != nil || !next.encrypted() {
		errs = append(errs, srv.openListeners(o, next, log))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, errors.Join(err, o.close())
	}
	return o, nil
}

func (srv *server) openCerts(o *opened, next *plan, log *slog.Logger) (err error) {
	if len(next.settings.TLS.ACME.Hosts) > 0 && srv.store == nil {
		p := next.settings.Problem("tls.acme.hosts", "certificates have to be kept, and this server was started without a store")
		p.Hint = "restart it"
		return p
	}
	switch {
	case o.certs != nil:
		o.renew, err = o.certs.Prepare(srv.certsFor(next, log))
	case next.encrypted():
		o.certs, err = certs.New(srv.certsFor(next, log))
	}
	return err
}

func (srv *server) openListeners(o *opened, next *plan, log *slog.Logger) error {
	cfg := srv.listenersFor(next)
	cfg.Log = log
	err := srv.secure(&cfg, next, o.certs)
	if err == nil {
		o.change, err = srv.set.Prepare(cfg)
	}
	return err
}

// close gives up what was opened.
func (o *opened) close() error {
	if o.queryLog != nil {
		o.queryLog.Close()
	}
	if o.change != nil {
		return o.change.Discard()
	}
	return nil
}

// take puts what was opened into use.
func (srv *server) take(o *opened, log *slog.Logger) {
	if o.renew != nil {
		o.renew()
	} else if o.certs != nil {
		srv.certs.Store(o.certs)
		srv.tasks.start("certificates", o.certs.Run)
	}
	if o.newLog {
		srv.takeQueryLog(o.queryLog)
	}
	o.change.Apply()
	announceBound(log, "listening", o.change.Added())
	announceBound(log, "no longer listening", o.change.Removed())
}

// reloadZones reads the zones anew, because their files have changed. The
// settings stay as they are.
func (srv *server) reloadZones(log *slog.Logger) error {
	answers, zones, found := answersOf(srv.settings, true, besideAnswer, noSignature)
	srv.plan.zones = zones
	if len(found) > 0 {
		return config.Problems(found)
	}
	if err := srv.compareZones(srv.settings, answers, log); err != nil {
		return err
	}
	srv.resolver.Adopt(answers)
	srv.plan.answers = answers
	return nil
}

// maxProblemLines bounds how many mistakes a failed reload puts into the log:
// "check" shows all.
const maxProblemLines = 50

// tellProblems logs every mistake, a line each.
func tellProblems(log *slog.Logger, err error) {
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	for i, line := range lines {
		if i == maxProblemLines {
			log.Error("not reloaded, for more reasons: domain-park check shows all", "more", len(lines)-i)
			return
		}
		log.Error("not reloaded", "reason", line)
	}
}
