package main

import (
	"log/slog"

	"domainpark/query"
	"domainpark/telemetry"
)

// openQueryLog opens the query log, if there is to be one. No query has been
// taken yet.
func (srv *server) openQueryLog(log *slog.Logger) error {
	settings := srv.settings.Telemetry.Queries
	if settings.File == "" {
		return nil
	}
	var err error
	if srv.queryLog, err = telemetry.OpenQueryLog(settings.File, settings.Sample, log); err != nil {
		return srv.settings.Problem("telemetry.queries.file", err.Error())
	}
	return nil
}

// observe is the end of every query.
func (srv *server) observe(q *query.Query) {
	srv.counters.Observe(q)
	if srv.queryLog != nil {
		srv.queryLog.Observe(q)
	}
}
