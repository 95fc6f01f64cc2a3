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
	dir, err := srv.openStore()
	if err != nil {
		return err
	}
	srv.keys = store.RandomKeys()
	cfg := srv.certsConfig()
	if dir != nil {
		seed, err := dir.Seed(context.Background())
		if err != nil {
			return err
		}
		srv.keys = store.NewKeys(seed)
		cfg.Store = dir
	} else {
		log.Debug("no store: secrets end with the process; hint: set store.directory", "directory", srv.settings.Store.Directory)
	}
	srv.opened = true
	if err := srv.guard.Reload(srv.policyConfig(log), time.Now()); err != nil {
		return err
	}
	if srv.encrypted() {
		cfg.Keys, cfg.Log = &srv.keys, log
		srv.certsUsed = cfg
		srv.certs, err = certs.New(cfg)
	}
	return err
}

// openStore opens the store; nil when there is to be none. A directory that
// the operator named, or that certificates have to be kept in, is made when it
// is missing. The default one is used when it is there: trying the server out
// leaves nothing behind.
func (srv *server) openStore() (*store.Dir, error) {
	s := srv.settings
	wanted := s.Given("store.directory") || len(s.TLS.ACME.Hosts) > 0
	if !wanted {
		if _, err := os.Stat(s.Store.Directory); err != nil {
			return nil, nil
		}
	}
	dir, err := store.Open(s.Store.Directory)
	if !wanted && errors.Is(err, fs.ErrPermission) {
		return nil, nil // another user's
	}
	return dir, err
}

// certsConfig says where certificates come from, without store and keys.
func (srv *server) certsConfig() certs.Config {
	s := srv.settings
	cfg := certs.Config{
		ACME: certs.ACME{
			Hosts:     s.TLS.ACME.Hosts,
			Email:     s.TLS.ACME.Email,
			Directory: s.TLS.ACME.Directory,
			Roots:     s.TLS.ACME.Roots.Path,
		},
		DoH:  srv.listen.DoH,
		HTTP: srv.listen.HTTP,
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
func (srv *server) encrypted() bool {
	return len(srv.listen.DoT)+len(srv.listen.DoH)+len(srv.listen.DoQ)+len(srv.listen.HTTP) > 0
}
