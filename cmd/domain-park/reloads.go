package main

import (
	"context"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"domainpark/telemetry"
)

// cause is why something is reloaded.
type cause uint8

const (
	bySignal cause = iota
	byWatch
	causes
)

var causeNames = [causes]string{"signal", "watch"}

// reloads counts reloads. It is safe for concurrent use.
type reloads struct {
	count  [causes][2]atomic.Uint64 // good, failed
	failed [causes]atomic.Bool      // the last one did
	last   atomic.Int64             // Unix milliseconds of the last good one, or of the start
}

// done notes how a reload ended.
func (r *reloads) done(c cause, err error, now time.Time) {
	r.failed[c].Store(err != nil)
	if err != nil {
		r.count[c][1].Add(1)
		return
	}
	if c == bySignal {
		r.failed[byWatch].Store(false) // the zones were read as well
	}
	r.count[c][0].Add(1)
	r.began(now)
}

// began notes when what is in force was read.
func (r *reloads) began(now time.Time) { r.last.Store(now.UnixMilli()) }

// reloadOn reloads at each of signals, and the zones when their files change,
// one after the other in one goroutine. end stops that and waits until it has
// stopped.
func (srv *server) reloadOn(signals <-chan os.Signal, log *slog.Logger) (end func()) {
	t := newTasks(&srv.taskPanics)
	w := newZoneWatch(log)
	w.follow(srv.plan.zones, 0)
	t.start("zone watch", w.run)
	t.start("reloads", func(ctx context.Context) {
		for {
			var took time.Duration
			select {
			case <-signals:
				srv.reopen()
				took = srv.attempt(bySignal, log, func() error { return srv.reload(log) })
			case <-w.changed:
				took = srv.attempt(byWatch, log, func() error { return srv.reloadZones(log) })
			case <-ctx.Done():
				return
			}
			w.follow(srv.plan.zones, took)
		}
	})
	return t.end
}

// reopen has the query log opened anew, whatever becomes of the reload: whoever
// rotates it has moved it away.
func (srv *server) reopen() {
	if l := srv.queryLog.Load(); l != nil {
		l.Reopen()
	}
}

// attempt reloads, and tells the log, the metrics and the service manager how
// that went and how long it took.
func (srv *server) attempt(c cause, log *slog.Logger, reload func() error) time.Duration {
	began := time.Now()
	end := srv.onReload()
	err := safely(reload)
	now := time.Now()
	took := now.Sub(began)
	srv.reloads.done(c, err, now)
	if err != nil {
		tellProblems(log, err)
		if stack := stackOf(err); stack != "" {
			srv.taskPanics.Add(1)
			log.Error("a reload has panicked; please report it", "stack", stack)
		}
		log.Error("reload failed: what runs stays as it was", "cause", causeNames[c])
	} else {
		zones := srv.answers.Zones()
		log.Info("reloaded", "cause", causeNames[c], "zones", len(zones), "took", took.Round(time.Millisecond).String())
		srv.warnOfSignatures(now, log)
	}
	end(err)
	return took
}

// reloadMetrics tell whether what runs is what the files say.
func (srv *server) reloadMetrics() telemetry.Source {
	labels := []string{"cause"}
	return telemetry.Source{
		Families: []telemetry.Family{
			{Name: "reloads_total", Type: telemetry.Total, Labels: []string{"cause", "result"},
				Help: "Reloads: of everything by a signal, of the zones by the watch on their files; failure changed nothing, and the log tells why."},
			{Name: "reload_good", Type: telemetry.Level, Labels: labels,
				Help: "1: the last reload succeeded, or there was none. 0: it failed, and what runs is not what the files say."},
			{Name: "reload_success_timestamp_seconds", Type: telemetry.Level,
				Help: "When what is in force was read, in Unix time: the last reload that succeeded, or the start."},
			{Name: "zones", Type: telemetry.Level, Help: "Zones of the operator's own that are answered."},
			{Name: "zone_names", Type: telemetry.Level, Help: "Names with records in these zones."},
			{Name: "zone_records", Type: telemetry.Level, Help: "Records in these zones."},
			{Name: "zone_signature_expiry_timestamp_seconds", Type: telemetry.Level,
				Help: "When the first signature of all zones that came signed expires, in Unix time; 0: no zone is signed. From then on resolvers that validate take that zone for bogus."},
		},
		Read: func(s *telemetry.Scrape) {
			for c, name := range causeNames {
				s.Add("reloads_total", float64(srv.reloads.count[c][0].Load()), name, "success")
				s.Add("reloads_total", float64(srv.reloads.count[c][1].Load()), name, "failure")
				good := 1.0
				if srv.reloads.failed[c].Load() {
					good = 0
				}
				s.Add("reload_good", good, name)
			}
			s.Add("reload_success_timestamp_seconds", float64(srv.reloads.last.Load())/1000)
			size := srv.resolver.ZoneSize()
			s.Add("zones", float64(size.Zones))
			s.Add("zone_names", float64(size.Names))
			s.Add("zone_records", float64(size.Records))
			s.Add("zone_signature_expiry_timestamp_seconds", unixSeconds(firstExpiry(srv.resolver.Zones(), time.Now())))
		},
	}
}
