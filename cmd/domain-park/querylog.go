package main

import (
	"log/slog"

	"domainpark/query"
	"domainpark/telemetry"
)

// openQueryLog opens the query log, if there is to be one. No query has been
// taken yet.
func (srv *server) openQueryLog(log *slog.Logger) error {
	opened, err := srv.queryLogFor(&srv.plan, log)
	srv.queryLog.Store(opened)
	return err
}

// queryLogFor opens the query log of p; nil when there is to be none. It counts
// on where that in use does.
func (srv *server) queryLogFor(p *plan, log *slog.Logger) (*telemetry.QueryLog, error) {
	settings := p.settings.Telemetry.Queries
	if settings.File == "" {
		return nil, nil
	}
	opened, err := telemetry.OpenQueryLog(settings.File, settings.Sample, log)
	if err != nil {
		return nil, p.settings.Problem("telemetry.queries.file", err.Error())
	}
	return opened, nil
}

// takeQueryLog writes to next from now on, nil being none. What waits in the one
// in use is written by it.
func (srv *server) takeQueryLog(next *telemetry.QueryLog) {
	before := srv.queryLog.Load()
	if next != nil && before != nil {
		next.CountOn(before)
	}
	srv.queryLog.Store(next)
	if srv.endQueryLog != nil {
		srv.endQueryLog()
	}
	srv.startQueryLog()
}

// startQueryLog begins to write what is queued.
func (srv *server) startQueryLog() {
	srv.endQueryLog = nil
	if q := srv.queryLog.Load(); q != nil {
		srv.endQueryLog = srv.tasks.start("query log", q.Run)
	}
}

// observe is the end of every query.
func (srv *server) observe(q *query.Query) {
	srv.counters.Observe(q)
	if l := srv.queryLog.Load(); l != nil {
		l.Observe(q)
	}
	if srv.tap != nil {
		srv.tap.Observe(q)
	}
}
