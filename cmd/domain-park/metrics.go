package main

import (
	"runtime"
	"runtime/debug"
	"time"

	"domainpark/certs"
	"domainpark/listeners"
	"domainpark/query"
	"domainpark/store"
	"domainpark/telemetry"
)

// metrics is what every part of the server has to show.
func (srv *server) metrics(set *listeners.Set) []telemetry.Source {
	return []telemetry.Source{srv.counters.Source(), srv.policyMetrics(), srv.serverMetrics(set), srv.reloadMetrics(),
		srv.certificateMetrics(), srv.storeMetrics(), telemetry.QueryLogSource(srv.queryLog.Load), srv.tap.Source()}
}

// serverMetrics are about the program itself.
func (srv *server) serverMetrics(set *listeners.Set) telemetry.Source {
	built := []string{"unknown", "", runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		built[0], built[1] = moduleVersion(info), revision(info)
	}
	return telemetry.Source{
		Families: []telemetry.Family{
			{Name: "build_info", Type: telemetry.Level, Labels: []string{"version", "revision", "goversion"},
				Help: "Always 1; the labels tell what runs."},
			{Name: "panics_total", Type: telemetry.Total,
				Help: "Queries that ended in a panic of the server: a bug, which the log shows. They got no answer and are in no other counter of queries."},
			{Name: "connection_panics_total", Type: telemetry.Total,
				Help: "Panics of the server outside a query: a bug, which the log shows. Each cost the connection that it came from, or the few datagrams of a UDP worker's round."},
			{Name: "connection_dismissals_total", Type: telemetry.Total, Labels: []string{"transport"},
				Help: "Connections that were ended because their client asked on for more than it may (policy.requests, or the access lists): over DoH, DoH3 and DoQ after more refusals in a row than policy.connections.streams, but 100 at least; over TCP and DoT, where nothing says no, after one. Those at listen.http are among doh."},
			{Name: "handshakes_shed_total", Type: telemetry.Total, Labels: []string{"transport"},
				Help: "TLS and QUIC handshakes that were let through by policy and then turned away, because more of them came than the CPUs can compute: they had waited for a third of policy.timeouts.handshake, or to its end, or too many waited."},
			{Name: "handshakes_waiting", Type: telemetry.Level,
				Help: "TLS and QUIC handshakes that wait to be computed. Above 2048 a CPU over DoT and DoH no more connections are accepted there, until half of them are gone; those that come meanwhile wait in the kernel's queue."},
			{Name: "task_panics_total", Type: telemetry.Total,
				Help: "Panics of what works beside the listeners (reloads, certificates, query log, dnstap, reports, watchdog, the administrator's server): a bug, which the log shows. The task was started anew, or the reload failed; queries are answered meanwhile."},
			{Name: "udp_drops_total", Type: telemetry.Total, Labels: []string{"address"},
				Help: "Datagrams that the kernel dropped at a UDP address before the server saw them, because it did not keep up and the receive buffer was full (or because a checksum was wrong). They are in no other counter. Linux only."},
		},
		Read: func(s *telemetry.Scrape) {
			s.Add("build_info", 1, built...)
			s.Add("panics_total", float64(set.Panics()))
			s.Add("connection_panics_total", float64(set.Faults()))
			for _, t := range []query.Transport{query.TCP, query.DoT, query.DoH, query.DoH3, query.DoQ} {
				s.Add("connection_dismissals_total", float64(set.Dismissals(t)), t.String())
			}
			for _, t := range []query.Transport{query.DoT, query.DoH, query.DoH3, query.DoQ} {
				s.Add("handshakes_shed_total", float64(set.TurnedAway(t)), t.String())
			}
			s.Add("handshakes_waiting", float64(set.HandshakesWaiting()))
			s.Add("task_panics_total", float64(srv.taskPanics.Load()))
			for _, d := range set.Drops() {
				s.Add("udp_drops_total", float64(d.Count), d.Addr.String())
			}
		},
	}
}

// certificateMetrics are labelled by what the settings and the certificates say.
func (srv *server) certificateMetrics() telemetry.Source {
	labels := []string{"name", "source", "file"}
	return telemetry.Source{
		Families: []telemetry.Family{
			{Name: "certificate_expiry_timestamp_seconds", Type: telemetry.Level, Labels: labels,
				Help: "When the certificate expires, in Unix time. 0: there is none yet, and a self-signed one is served in its place. source is acme, file or self-signed."},
			{Name: "certificate_renewal_timestamp_seconds", Type: telemetry.Level, Labels: labels,
				Help: "When the next order for the certificate is due, in Unix time; source acme only."},
			{Name: "certificate_failures", Type: telemetry.Level, Labels: labels,
				Help: "Orders for the certificate that have failed since the last one that did not; source acme only."},
			{Name: "certificate_orders_total", Type: telemetry.Total, Labels: []string{"name", "result"},
				Help: "Attempts at the certificate since the start: issued by the CA, or failed, be it at the CA, at the lock of the store, or because the certificate could not be kept; source acme only."},
			{Name: "certificate_good", Type: telemetry.Level, Labels: labels,
				Help: "1: all is well. 0: the last order failed, or the file can't be used; the log tells why, and the certificate in hand serves on."},
		},
		Read: func(s *telemetry.Scrape) {
			source := srv.certs.Load()
			if source == nil {
				return
			}
			for _, c := range source.Status() {
				values := []string{c.Name, c.Source, c.File}
				s.Add("certificate_expiry_timestamp_seconds", unixSeconds(c.Expires), values...)
				if c.Source == certs.FromACME {
					s.Add("certificate_renewal_timestamp_seconds", unixSeconds(c.Renewal), values...)
					s.Add("certificate_failures", float64(c.Failures), values...)
					s.Add("certificate_orders_total", float64(c.Issued), c.Name, "issued")
					s.Add("certificate_orders_total", float64(c.Failed), c.Name, "failed")
				}
				good := 1.0
				if c.Err != nil {
					good = 0
				}
				s.Add("certificate_good", good, values...)
			}
		},
	}
}

// storeMetrics tell whether the state directory can be used. Without one all
// are zero.
func (srv *server) storeMetrics() telemetry.Source {
	return telemetry.Source{
		Families: []telemetry.Family{
			{Name: "store_operations_total", Type: telemetry.Total, Labels: []string{"operation", "result"},
				Help: "What was done in store.directory: values read, written and removed, locks taken. failure: the disk is full, read-only or gone, a file is damaged, or another server held the lock for too long; the log tells which. There are few: some at the start, and some for each order of a certificate."},
		},
		Read: func(s *telemetry.Scrape) {
			for o := range store.Operations {
				var done store.Tally
				if srv.store != nil {
					done = srv.store.Done(o)
				}
				s.Add("store_operations_total", float64(done.Succeeded), o.String(), "success")
				s.Add("store_operations_total", float64(done.Failed), o.String(), "failure")
			}
		},
	}
}

// unixSeconds is 0 for the zero time.
func unixSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
