// Package telemetry is what operators see of a running server: counters of
// every query, metrics in Prometheus' format, and the administrator's HTTP
// server that shows them beside whether the server is alive and ready.
//
//	query → Counters.Observe … Source.Read → /metrics
//
// Start at [Counters] and [BindAdmin]. What other parts count comes in as a
// [Source]; the package asks nobody for it. Labels are closed sets: nothing
// that a client sends becomes a name here. It sends nothing anywhere.
package telemetry
