// Package telemetry is what operators see of a running server: counters of
// every query, metrics in Prometheus' format, a log of queries, dnstap, and the
// administrator's HTTP server, which also tells whether the server is alive and
// ready.
//
//	query → Counters.Observe … Source.Read → /metrics
//	query → QueryLog.Observe → queue → QueryLog.Run → file
//	query → Tap.Observe → queue → Tap.Run → collector
//
// Start at [Counters] and [BindAdmin]. What other parts count comes in as a
// [Source]; the package asks nobody for it. Labels are closed sets: nothing
// that a client sends becomes a name here. It sends
// nothing anywhere but to the dnstap collector of the settings.
package telemetry
