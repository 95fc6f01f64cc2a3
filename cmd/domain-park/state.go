package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"domainpark/certs"
	"domainpark/store"
)

// open opens what outlives the process and makes what depends on it: secrets
// and certificates. It is not for "check", which must leave no traces.
func (srv *server) open(log *slog.Logger) error {
	dir, seed, err := srv.openStore(log)
	if err != nil {
		return err
	}
	srv.keys = store.RandomKeys()
	if srv.store = dir; dir != nil {
		srv.keys = store.NewKeys(seed)
	}
	srv.opened = true
	if err := srv.guard.Reload(srv.policyConfig(log), time.Now()); err != nil {
		return err
	}
	if !srv.encrypted() {
		return nil
	}
	source, err := certs.New(srv.certsFor(&srv.plan, log))
	srv.certs.Store(source)
	return err
}

// certsFor says where the certificates of p come from. The server is open.
func (srv *server) certsFor(p *plan, log *slog.Logger) certs.Config {
	cfg := p.certsConfig()
	if srv.store != nil { // a nil *Dir would be a store
		cfg.Store = srv.store
	}
	cfg.Keys, cfg.Log = &srv.keys, log
	return cfg
}

// openStore opens the store; nil when there is to be none. A directory that
// the operator named, or that certificates have to be kept in, is made when it
// is missing. The default one is used when it is there and can be: trying the
// server out leaves nothing behind and needs nothing.
func (srv *server) openStore(log *slog.Logger) (*store.Dir, [store.SeedBytes]byte, error) {
	s := srv.settings
	if srv.needsStore() {
		return openSeeded(s.Store.Directory)
	}
	const none = "no store: secrets end with the process; hint: set store.directory"
	if _, err := os.Stat(s.Store.Directory); errors.Is(err, fs.ErrNotExist) {
		log.Debug(none, "directory", s.Store.Directory)
		return nil, [store.SeedBytes]byte{}, nil
	}
	dir, seed, err := openSeeded(s.Store.Directory)
	if err != nil { // it is another user's, or the disk is full or read-only
		log.Info(none, "directory", s.Store.Directory, "reason", err)
	}
	return dir, seed, nil
}

// needsStore tells whether the server does not start without its store.
func (p *plan) needsStore() bool {
	return p.settings.Given("store.directory") || len(p.settings.TLS.ACME.Hosts) > 0
}

// openSeeded opens the store in directory and reads or makes its seed. Without
// an error dir is not nil, and with one it is.
func openSeeded(directory string) (dir *store.Dir, seed [store.SeedBytes]byte, err error) {
	if dir, err = store.Open(directory); err != nil {
		return nil, seed, err
	}
	if seed, err = dir.Seed(context.Background()); err != nil {
		return nil, seed, err
	}
	return dir, seed, nil
}

// certsConfig says where certificates come from, without store and keys.
func (p *plan) certsConfig() certs.Config {
	s := p.settings
	cfg := certs.Config{
		ACME: certs.ACME{
			Hosts:     s.TLS.ACME.Hosts,
			Email:     s.TLS.ACME.Email,
			Directory: s.TLS.ACME.Directory,
			Roots:     s.TLS.ACME.Roots.Path,
		},
		DoH:  p.listen.DoH,
		HTTP: p.listen.HTTP,
	}
	for _, c := range s.TLS.Certificates {
		cfg.Files = append(cfg.Files, certs.Pair{Certificate: c.Certificate, Key: c.Key})
	}
	for _, n := range s.NameServers {
		cfg.Names = append(cfg.Names, n.Name)
		cfg.Addresses = append(cfg.Addresses, n.Addresses...)
	}
	return cfg
}

// encrypted tells whether anything is listened on that has to do with
// certificates.
func (p *plan) encrypted() bool {
	return len(p.listen.DoT)+len(p.listen.DoH)+len(p.listen.DoQ)+len(p.listen.HTTP) > 0
}
