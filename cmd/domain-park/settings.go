package main

import (
	"errors"
	"os"
	"strings"
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
}

// server is what the settings come to, before any address is bound.
type server struct {
	settings *config.Settings
	listen   config.Listen // the settings', less what this machine can't have
	guard    *policy.Guard
	resolver *resolver.Resolver
	counters *telemetry.Counters
	memory   memory // that this process may have

	queryLog *telemetry.QueryLog // made by openQueryLog; nil: none is written
	admin    *telemetry.Admin    // made by bindAdmin; nil: no address to serve administrators on

	// Made by open.
	opened    bool
	keys      store.Keys
	certs     *certs.Source // nil: nothing encrypted is listened on
	certsUsed certs.Config  // that certs is made with, for its Reload
}

// load reads the settings and builds what they describe. Its error tells every
// mistake in the settings and the files that they name.
func (s *source) load() (*server, error) {
	srv := &server{counters: telemetry.New(), memory: newMemory(os.DirFS("/"))}
	build := func(settings *config.Settings, good bool) []config.Problem {
		cfg := resolverConfig(settings)
		zones, err := openZones(settings.Zones)
		if err != nil {
			return zoneProblems(settings, err)
		}
		defer zones.close()
		if cfg.Zones, err = zones.read(); err != nil {
			return zoneProblems(settings, err)
		}
		cfg.Include = zones.include
		if !good {
			// The profile and the zones have mistakes of their own, which are to
			// be told as well. They are tried with settings that have none.
			cfg = resolver.Config{NameServers: anyNameServer, Profile: cfg.Profile, PublicSuffixes: cfg.PublicSuffixes, Zones: cfg.Zones, Include: cfg.Include}
		}
		srv.settings = settings
		if srv.guard, err = policy.New(srv.policyConfig(nil), time.Now()); err != nil {
			return problems(settings, err)
		}
		srv.resolver, err = resolver.New(cfg, srv.guard, srv.observe)
		return problems(settings, err)
	}
	var err error
	if srv.settings, err = config.Load(s.Config, s.Flags, build); err != nil {
		return nil, err
	}
	srv.listen = srv.settings.Listen
	if !haveIPv6Loopback() {
		srv.listen = s.withoutIPv6Loopback(srv.settings)
	}
	return srv, nil
}

var anyNameServer = []resolver.NameServer{{Name: "ns.invalid"}}

func resolverConfig(s *config.Settings) resolver.Config {
	cfg := resolver.Config{
		Hostmaster:     s.Hostmaster,
		Profile:        resolver.Source{Name: s.Parking.Profile.Path, Text: s.Parking.Profile.Text},
		PublicSuffixes: resolver.Source{Name: s.Parking.PublicSuffixes.Path, Text: s.Parking.PublicSuffixes.Text},
		TTL:            s.Parking.TTL,
		RUA:            s.Parking.DMARC.RUA,
		RUF:            s.Parking.DMARC.RUF,
		IODEF:          s.Parking.IODEF,
		Apexes:         s.Parking.Apexes,
		Only:           s.Parking.Only,
		Refuse:         s.Parking.Refuse,
		ACMEHosts:      s.TLS.ACME.Hosts,
		Identity:       resolver.Identity{Version: s.Identity.Version, ID: s.Identity.ID},
	}
	for _, n := range s.NameServers {
		cfg.NameServers = append(cfg.NameServers, resolver.NameServer{Name: n.Name, Addresses: n.Addresses})
	}
	return cfg
}

// listenersConfig says where to listen.
func (srv *server) listenersConfig() listeners.Config {
	t := srv.settings.Policy.Timeouts
	return listeners.Config{
		UDP:     srv.listen.UDP,
		TCP:     srv.listen.TCP,
		DoT:     srv.listen.DoT,
		DoH:     srv.listen.DoH,
		DoQ:     srv.listen.DoQ,
		HTTP:    srv.listen.HTTP,
		Workers: srv.settings.Workers,

		Connections: quota{srv.guard.Connections()},
		Timeouts: listeners.Timeouts{
			Handshake: t.Handshake, Message: t.Message, Idle: t.Idle, Write: t.Write, Shutdown: t.Shutdown,
		},
	}
}

// secure adds what the encrypted transports need, if there are any. The server
// is open.
func (srv *server) secure(cfg *listeners.Config) (err error) {
	if !srv.encrypted() {
		return nil
	}
	keys := srv.certs.QUICKeys()
	cfg.TLS = srv.certs.TLS()
	cfg.QUIC = listeners.QUICKeys{Token: keys.Token, Reset: keys.Reset}
	cfg.HTTPHandler = srv.certs.HTTPHandler()
	cfg.Page, err = srv.page()
	return err
}

// resolverKeys are the settings that the fields of a resolver's Config come from.
var resolverKeys = map[string]string{
	"NameServers":    "nameservers",
	"Hostmaster":     "hostmaster",
	"Profile":        "parking.profile",
	"PublicSuffixes": "parking.publicsuffixes",
	"TTL":            "parking.ttl",
	"RUA":            "parking.dmarc.rua",
	"RUF":            "parking.dmarc.ruf",
	"IODEF":          "parking.iodef",
	"Apexes":         "parking.apexes",
	"Only":           "parking.only",
	"Refuse":         "parking.refuse",
	"Identity":       "identity",
	"ACMEHosts":      "tls.acme.hosts",
	"Zones":          "zones",
	"Include":        "zones",
}

// problems says the resolver's errors in an operator's terms: by the place in
// the settings, not by the field of a struct.
func problems(s *config.Settings, err error) []config.Problem {
	if err == nil {
		return nil
	}
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		var out []config.Problem
		for _, err := range all.Unwrap() {
			out = append(out, problems(s, err)...)
		}
		return out
	}
	var limit *policy.Error
	if errors.As(err, &limit) {
		return []config.Problem{s.Problem("policy."+limit.Field, limit.Reason)}
	}
	var e *resolver.Error
	switch {
	case !errors.As(err, &e):
		return []config.Problem{{Reason: err.Error()}}
	case e.File != "":
		return []config.Problem{{Position: config.Position{File: e.File, Line: e.Line, Column: e.Column}, Reason: e.Reason}}
	}
	field, _, _ := strings.Cut(e.Field, "[")
	if key, ok := resolverKeys[field]; ok {
		return []config.Problem{s.Problem(key, e.Reason)}
	}
	if section, name, ok := strings.Cut(field, "."); ok {
		return []config.Problem{s.Problem(resolverKeys[section]+"."+strings.ToLower(name), e.Reason)}
	}
	return []config.Problem{{Key: e.Field, Reason: e.Reason}}
}
