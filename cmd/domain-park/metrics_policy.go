package main

import (
	"domainpark/telemetry"
)

// policyFamilies says what the counters of policy.Guard mean; what they
// protect from, and how to tune it, is in docs/security.md.
var policyFamilies = []telemetry.Family{
	{Name: "admissions_total", Labels: []string{"result"},
		Help: "Queries by whether they may be answered: admitted, denied by the access lists, or exceeded (over the limit policy.requests). The sum is queries_total less what could not be read."},
	{Name: "http_requests_total", Labels: []string{"result"},
		Help: "HTTP requests that carry no DNS query (the page, wrong paths, methods and messages, malformed ones and those that break off, and all at listen.http), and DoQ streams without one, by whether they were answered as they deserve: admitted, or exceeded (over the limit policy.requests, answered 429 where there is an answer). A message that is no query is among the silent of queries_total as well; the others are in no counter of queries."},
	{Name: "cookies_total", Labels: []string{"state"},
		Help: "Admitted queries by what their DNS cookie was worth (RFC 7873): none, client (the client asks for one), valid, invalid (too old, or not ours), malformed. A query whose answer panics is not in it."},
	{Name: "cookie_demands_total", Labels: []string{"demand"},
		Help: "Queries without a valid cookie that were told to come with one (cookie, answered BADCOOKIE) or over a stream, because policy.cookies.require is on."},
	{Name: "responses_total", Labels: []string{"class", "outcome"},
		Help: "Answers by their class and by what the response-rate limit did: exempt (no limit holds for the client), sent, slipped (sent truncated), dropped, spared (would have been limited, and was sent because of dryrun)."},
	{Name: "limited_responses_total", Labels: []string{"account", "level"},
		Help: "Answers that the response-rate limit met, by the account that was overdrawn and by the size of the prefix that it is for."},
	{Name: "bucket_evictions_total", Labels: []string{"table"},
		Help: "Buckets of a limit's table that made room for another client. When many are, policy.responses.table is too small."},
	{Name: "connection_openings_total", Labels: []string{"result"},
		Help: "Connections by whether they were let in: opened, denied by the access lists, or crowded (the client has policy.connections.perclient already)."},
	{Name: "connection_evictions_total",
		Help: "Idle connections that were closed to let another one in, because policy.connections.total were open."},
	{Name: "handshakes_total", Labels: []string{"kind", "result"},
		Help: "TLS and QUIC handshakes, full and resumed, by whether they were let through."},
	{Name: "handshake_retries_total",
		Help: "QUIC handshakes that had to prove the client's address first, because too many began at once."},
	{Name: "unlogged_limited_total",
		Help: "Queries and answers that were limited and that no log line will tell of, because too many clients were limited at once."},
	{Name: "connections_open", Type: telemetry.Level,
		Help: "Open connections of TCP, DoT, DoH, DoH3 and DoQ together."},
}

// policyMetrics are the counters of limits, and the open connections.
func (srv *server) policyMetrics() telemetry.Source {
	return telemetry.Source{
		Families: policyFamilies,
		Read: func(s *telemetry.Scrape) {
			for _, c := range srv.guard.Counters() {
				s.Add(c.Name, float64(c.Value), labelValues(c.Labels)...)
			}
			s.Add("connections_open", float64(srv.guard.Connections().Count()))
		},
	}
}

// labelValues takes the values out of name, value, name, value …
func labelValues(pairs []string) (values []string) {
	for i := 1; i < len(pairs); i += 2 {
		values = append(values, pairs[i])
	}
	return values
}
