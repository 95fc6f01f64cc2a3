package main

import (
	"log/slog"
	"time"

	"domainpark/policy"
)

// cookiePeriod is how long a cookie secret is used to make cookies.
const cookiePeriod = 24 * time.Hour

// policyConfig is the settings' policy. Before the store is open cookies have
// a secret of their own.
func (srv *server) policyConfig(log *slog.Logger) policy.Config {
	p := &srv.settings.Policy
	cfg := policy.Config{
		Allow:    p.Allow,
		Deny:     p.Deny,
		Trust:    p.Trust,
		Requests: policy.Requests{Rate: p.Requests.Rate, Burst: p.Requests.Burst},
		Responses: policy.Responses{
			Rate: p.Responses.Rate, Errors: p.Responses.Errors, All: p.Responses.All, Slip: p.Responses.Slip,
			IPv4Prefix: p.Responses.IPv4Prefix, IPv6Prefix: p.Responses.IPv6Prefix,
			Table: p.Responses.Table, DryRun: p.Responses.DryRun,
		},
		Cookies: policy.Cookies{Require: p.Cookies.Require},
		Connections: policy.ConnectionLimits{
			Total: srv.total(), PerClient: p.Connections.PerClient,
			Handshakes: p.Connections.Handshakes, Resumptions: p.Connections.Resumptions,
			Streams: p.Connections.Streams, Queries: p.Connections.Queries, Age: p.Connections.Age,
			Idle: p.Timeouts.Idle,

			AdmitDenied: len(srv.settings.TLS.ACME.Hosts) > 0,
		},
		Log: log,
	}
	switch {
	case p.Cookies.Secret != "":
		cfg.Cookies.Secrets = []string{p.Cookies.Secret}
	case srv.opened:
		cfg.Cookies.Derive = func(day time.Time) [32]byte {
			return srv.keys.Rolling("cookie", cookiePeriod, day).Current
		}
	}
	return cfg
}
