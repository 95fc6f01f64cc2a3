package main

import (
	"log/slog"
	"time"

	"domainpark/config"
	"domainpark/policy"
)

// cookiePeriod is how long a cookie secret is used to make cookies.
const cookiePeriod = 24 * time.Hour

// policyConfig is the settings' policy, without what depends on the machine and
// the store.
func policyConfig(s *config.Settings) policy.Config {
	p := &s.Policy
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
			Total: p.Connections.Total, PerClient: p.Connections.PerClient,
			Handshakes: p.Connections.Handshakes, Resumptions: p.Connections.Resumptions,
			Streams: p.Connections.Streams, Queries: p.Connections.Queries, Age: p.Connections.Age,
			Idle: p.Timeouts.Idle,

			AdmitDenied: len(s.TLS.ACME.Hosts) > 0,
		},
	}
	if p.Cookies.Secret != "" {
		cfg.Cookies.Secrets = []string{p.Cookies.Secret}
	}
	return cfg
}

// policyConfig is the policy of the plan in force. Before the store is open
// cookies have a secret of their own.
func (srv *server) policyConfig(log *slog.Logger) policy.Config { return srv.policyFor(&srv.plan, log) }

func (srv *server) policyFor(p *plan, log *slog.Logger) policy.Config {
	cfg := policyConfig(p.settings)
	cfg.Connections.Total = srv.affordable(cfg.Connections.Total)
	cfg.Log = log
	if srv.opened && len(cfg.Cookies.Secrets) == 0 {
		cfg.Cookies.Derive = func(day time.Time) [32]byte {
			return srv.keys.Rolling("cookie", cookiePeriod, day).Current
		}
	}
	return cfg
}
