package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"domainpark/listeners"
	"domainpark/query"
)

// serve is how the server comes up and goes down: open, bind, give up rights,
// serve, drain. It returns nil when a signal asked for the end.
func serve(srv *server, signals *caught, log *slog.Logger) error {
	ctx, stop := signals.untilSignal(log)
	defer stop()

	id, err := identityOf(srv.settings)
	if err != nil {
		return err
	}
	if err := srv.giveStore(id); err != nil {
		return err
	}
	if err := srv.open(log); err != nil {
		return err
	}
	cfg := srv.listenersConfig()
	cfg.Log = log
	if err := srv.secure(&cfg, &srv.plan, srv.certs.Load()); err != nil {
		return err
	}
	set, err := listeners.Bind(cfg, srv.resolver)
	if err != nil {
		return err
	}
	srv.set = set
	if err := srv.bindAdmin(ctx, set, log); err != nil {
		return err
	}
	if err := srv.giveUpRights(id, log); err != nil {
		return err
	}
	srv.announce(set, log)
	srv.tellReady(log)
	srv.onReload = func() func(error) { return srv.tellReload(log) }
	defer context.AfterFunc(ctx, func() { tellStopping(log) })()

	end, endReloads := srv.background(log), srv.reloadOn(signals.hangups, log)
	err = set.Serve(ctx)
	endReloads()
	end()
	srv.account(log)
	return err
}

// giveUpRights is for when every address is bound: the server becomes another
// user, opens the query log as that, and gives up all files that it has no
// business with. On an error nothing is bound any more.
func (srv *server) giveUpRights(id *identity, log *slog.Logger) error {
	err := srv.become(id, log)
	if err == nil {
		err = srv.openQueryLog(log)
	}
	if err == nil {
		srv.confine(log)
		return nil
	}
	if srv.admin != nil {
		err = errors.Join(err, srv.admin.Close())
	}
	return errors.Join(err, srv.set.Close())
}

// background starts what works beside the listeners: certificates, the reports
// of limits, the care of memory and processors, the query log, dnstap, the administrator's
// server and the watchdog.
// end stops it and waits until it has stopped.
func (srv *server) background(log *slog.Logger) (end func()) {
	name := srv.settings.NameServers[0].Name // a reload may be changing the settings later
	if source := srv.certs.Load(); source != nil {
		srv.tasks.start("certificates", source.Run)
	}
	srv.tasks.start("reports of limits", srv.guard.Run)
	srv.tasks.start("memory limit", srv.memory.run)
	srv.tasks.start("processors", new(processors).run)
	srv.startQueryLog()
	if srv.tap != nil {
		srv.tasks.start("dnstap", srv.tap.Run)
	}
	if srv.admin != nil {
		srv.tasks.start("admin", srv.admin.Serve)
	}
	srv.tasks.start("watchdog", func(ctx context.Context) { srv.watch(ctx, name, log) })
	return srv.tasks.end
}

// announce tells where the server listens. Several sockets of one address are
// one line.
func (srv *server) announce(set *listeners.Set, log *slog.Logger) {
	announceBound(log, "listening", set.Bound())
	if srv.admin != nil {
		for _, addr := range srv.admin.Bound() {
			log.Info("listening", "transport", "admin", "address", addr.String())
		}
	}
	srv.announceInherited(log)
	if left := size(srv.settings.Listen) - size(srv.listen); left > 0 && srv.source.inherited == nil {
		log.Info("this machine has no IPv6 loopback: the defaults on [::1] are left out", "addresses", left)
	}
	announceRoot(log)
	srv.announceAdmin(log)
	srv.announceTotal(log)
	srv.warnOfSignatures(time.Now(), log)
	log.Info("ready", "version", version())
}

// announceBound logs what for each address, once for several sockets of one.
func announceBound(log *slog.Logger, what string, bound []listeners.Bound) {
	seen := map[string]bool{}
	for _, b := range bound {
		if name := b.Transport + " " + b.Addr.String(); !seen[name] {
			seen[name] = true
			log.Info(what, "transport", b.Transport, "address", b.Addr.String())
		}
	}
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
