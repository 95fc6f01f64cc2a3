package main

import (
	"context"
	"log/slog"
	"sync"

	"domainpark/listeners"
	"domainpark/query"
)

// serve is how the server comes up and goes down: open, bind, serve, drain. It
// returns nil when a signal asked for the end.
func serve(srv *server, log *slog.Logger) error {
	ctx, stop := untilSignal(log)
	defer stop()
	hangups, ignore := hangups()
	defer ignore()

	if err := srv.open(log); err != nil {
		return err
	}
	if err := srv.openQueryLog(log); err != nil {
		return err
	}
	cfg := srv.listenersConfig()
	cfg.Log = log
	if err := srv.secure(&cfg); err != nil {
		return err
	}
	set, err := listeners.Bind(cfg, srv.resolver)
	if err != nil {
		return err
	}
	if err := srv.bindAdmin(ctx, set, log); err != nil {
		return err
	}
	srv.announce(set, log)

	end, endReloads := srv.background(), srv.reloadOn(hangups, log)
	err = set.Serve(ctx)
	endReloads()
	end()
	srv.account(log)
	return err
}

// background starts what works beside the listeners: certificates, the reports
// of limits, the care of memory, the query log and the administrator's server.
// end stops it and waits until it has stopped.
func (srv *server) background() (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	if srv.encrypted() {
		wg.Go(func() { srv.certs.Run(ctx) })
	}
	wg.Go(func() { srv.guard.Run(ctx) })
	wg.Go(func() { srv.memory.run(ctx) })
	if srv.queryLog != nil {
		wg.Go(func() { srv.queryLog.Run(ctx) })
	}
	if srv.admin != nil {
		wg.Go(func() { srv.admin.Serve(ctx) })
	}
	return func() {
		cancel()
		wg.Wait()
	}
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
	if srv.admin != nil {
		for _, addr := range srv.admin.Bound() {
			log.Info("listening", "transport", "admin", "address", addr.String())
		}
	}
	if left := size(srv.settings.Listen) - size(srv.listen); left > 0 {
		log.Info("this machine has no IPv6 loopback: the defaults on [::1] are left out", "addresses", left)
	}
	srv.announceTotal(log)
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
	log.Info("stopped", "answered", ended[query.Answered], "refused", ended[query.Refused], "slipped", ended[query.Slipped], "dropped", ended[query.Dropped], "silent", ended[query.Silent])
}
