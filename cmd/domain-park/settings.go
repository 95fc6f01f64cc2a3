package main

import (
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"domainpark/certs"
	"domainpark/config"
	"domainpark/listeners"
	"domainpark/policy"
	"domainpark/resolver"
	"domainpark/store"
	"domainpark/telemetry"
)

// source is where the settings come from.
type source struct {
	Config       string `short:"c" placeholder:"FILE" help:"Settings file; domain-park check --sample prints one. Flags override it."`
	config.Flags `embed:""`

	inherited *listeners.Inherited // sockets that are listened on instead of addresses; nil: none
	verify    int                  // how many signatures of each zone are verified
}

// server is a plan with what is to put it into force: what a reload changes from
// within, and does not replace.
type server struct {
	plan     // in force; it belongs to the goroutine that reloads
	source   *source
	guard    *policy.Guard
	resolver *resolver.Resolver
	counters *telemetry.Counters
	reloads  reloads
	memory   memory // that this process may have
	level    *slog.LevelVar
	tasks    *tasks

	taskPanics atomic.Uint64 // of tasks and reloads

	onReload func() (end func(error)) // told of each reload, as it begins and as it ends

	queryLog    atomic.Pointer[telemetry.QueryLog] // nil: none is written
	endQueryLog func()                             // ends the writing of it, when it is written
	tap         *telemetry.Tap                     // nil: there is no dnstap collector
	admin       *telemetry.Admin                   // made by bindAdmin; nil: no address to serve administrators on

	// Made by open.
	opened bool
	store  *store.Dir // nil: there is none
	keys   store.Keys
	certs  atomic.Pointer[certs.Source] // nil: nothing encrypted has been listened on so far

	overlap bool // bind beside another process that has the same addresses

	set     *listeners.Set // made by bind
	sandbox *sandbox       // in force; nil: there is none
}

// load reads the settings and builds what they describe. Its error tells every
// mistake in the settings and the files that they name.
func (s *source) load() (*server, error) {
	p, err := s.plan(atStart)
	if err != nil {
		return nil, err
	}
	srv := &server{plan: *p, source: s, counters: telemetry.New(), memory: newMemory(os.DirFS("/"), machineMemory()), level: new(slog.LevelVar),
		onReload: func() func(error) { return func(error) {} }}
	srv.tasks = newTasks(&srv.taskPanics)
	if srv.guard, err = policy.New(srv.policyConfig(nil), time.Now()); err != nil {
		return nil, err // plan has checked it
	}
	srv.tap = p.newTap()
	srv.resolver = p.answers.Guarded(srv.guard, srv.observe)
	srv.reloads.began(time.Now())
	return srv, nil
}

// listenersConfig says where to listen, by the plan in force.
func (srv *server) listenersConfig() listeners.Config { return srv.listenersFor(&srv.plan) }

func (srv *server) listenersFor(p *plan) listeners.Config {
	t := p.settings.Policy.Timeouts
	return listeners.Config{
		UDP:     p.listen.UDP,
		TCP:     p.listen.TCP,
		DoT:     p.listen.DoT,
		DoH:     p.listen.DoH,
		DoQ:     p.listen.DoQ,
		HTTP:    p.listen.HTTP,
		Workers: p.settings.Workers,

		Inherited: srv.source.inherited,
		Overlap:   srv.overlap,

		Connections: quota{srv.guard.Connections()},
		Requests:    srv.guard.Request,
		Timeouts: listeners.Timeouts{
			Handshake: t.Handshake, Message: t.Message, Idle: t.Idle, Write: t.Write, Shutdown: t.Shutdown,
		},
	}
}

// secure adds what the encrypted transports of p need, if there are any, from
// the certificates of source.
func (srv *server) secure(cfg *listeners.Config, p *plan, source *certs.Source) (err error) {
	if !p.encrypted() {
		return nil
	}
	keys := source.QUICKeys()
	cfg.TLS = source.TLS()
	cfg.QUIC = listeners.QUICKeys{Token: keys.Token, Reset: keys.Reset}
	cfg.HTTPHandler = source.HTTPHandler()
	cfg.Page, err = p.page()
	return err
}
