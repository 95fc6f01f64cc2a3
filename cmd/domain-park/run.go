package main

import (
	"log/slog"

	"domainpark/listeners"
	"domainpark/query"
)

// serve is how the server comes up and goes down: bind, serve, drain. It
// returns nil when a signal asked for the end.
func serve(srv *server, log *slog.Logger) error {
	ctx, stop := untilSignal(log)
	defer stop()

	cfg := srv.listenersConfig()
	cfg.Log = log
	set, err := listeners.Bind(cfg, srv.resolver)
	if err != nil {
		return err
	}
	srv.announce(set, log)

	err = set.Serve(ctx)
	srv.account(log)
	return err
}

// announce tells where the server listens. Several sockets of one address are
// one line.
func (srv *server) announce(set *listeners.Set, log *slog.Logger) {
	seen := map[string]bool{}
	for _, b := range set.Bound() {
		if name := b.Transport + " " + b.Addr.String(); !seen[name] {
			seen[name] = true
			log.Info("listening", "transport", b.Transport, "address", b.Addr.String())
		}
	}
	if left := size(srv.settings.Listen) - size(srv.listen); left > 0 {
		log.Info("this machine has no IPv6 loopback: the defaults on [::1] are left out", "addresses", left)
	}
	log.Info("ready", "version", version())
}

// account tells how the queries ended, as the last line of the log.
func (srv *server) account(log *slog.Logger) {
	count := srv.counters.Snapshot()
	var ended [query.Verdicts]uint64
	for t := range query.Transports {
		for v := range query.Verdicts {
			ended[v] += count.Ended(t, v)
		}
	}
	log.Info("stopped", "answered", ended[query.Answered], "refused", ended[query.Refused], "silent", ended[query.Silent])
}
