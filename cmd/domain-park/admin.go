package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"domainpark/certs"
	"domainpark/listeners"
	"domainpark/telemetry"
)

// errDraining is why a server that stops is not ready.
var errDraining = errors.New("stopping: connections are drained")

// bindAdmin binds the administrator's addresses, and closes set when that
// fails. The server is ready, because set is bound, until serving ends.
func (srv *server) bindAdmin(serving context.Context, set *listeners.Set, log *slog.Logger) error {
	if len(srv.listen.Admin) == 0 {
		return nil
	}
	var err error
	srv.admin, err = telemetry.BindAdmin(telemetry.AdminConfig{
		Addresses: srv.listen.Admin,
		Listen:    srv.listenersConfig().Listen,
		Version:   version(),
		Sources:   srv.metrics(set),
		Ready: func() error {
			if serving.Err() != nil {
				return errDraining
			}
			return nil
		},
		Profiling: srv.settings.Telemetry.Profiling,
		Log:       log,
	})
	if err != nil {
		return errors.Join(err, set.Close())
	}
	return nil
}

// adminFindings is what may not be meant about where administrators are served.
func (p *plan) adminFindings() []finding {
	var open []string
	for _, a := range p.listen.Admin {
		if !loopback(a) {
			open = append(open, a)
		}
	}
	if len(open) == 0 {
		return nil
	}
	return []finding{p.finding(certs.Warning, "listen.admin", strings.Join(open, ", ")+" is not loopback: anyone who can reach it reads the metrics"+
		profilesToo(p.settings.Telemetry.Profiling)+"; hint: keep it on loopback, or let nobody but the monitoring through the firewall")}
}

// announceAdmin warns at the start of what "check" warns of: not everybody runs it.
func (srv *server) announceAdmin(log *slog.Logger) {
	for _, f := range srv.adminFindings() {
		log.Warn(f.text())
	}
}

func profilesToo(profiling bool) string {
	if profiling {
		return ", and profiles, which show memory and slow the server down"
	}
	return ""
}
