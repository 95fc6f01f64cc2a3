package main

import (
	"domainpark/config"
	"domainpark/resolver"
)

// plan is what the settings come to, read and checked, before any of it is in
// force.
type plan struct {
	settings *config.Settings
	listen   config.Listen      // the settings', less what this machine can't have
	answers  *resolver.Resolver // what is answered, to everybody; nobody asks it but us
	zones    *zoneDirectory     // what was read for that; closed; nil: there are none
}

// share is how much of the machine reading zones may take.
type share bool

const (
	atStart      share = true  // all of it: nobody waits for anything else
	besideAnswer share = false // half of it: queries are answered meanwhile
)

// goroutines is how many read zones at once.
func (s share) goroutines() int {
	if s == atStart {
		return cpus()
	}
	return max(1, cpus()/2)
}

// files is how many are read at once.
func (s share) files() int {
	if s == atStart {
		return zoneReaders
	}
	return zoneReadersBeside
}

// plan reads the settings and builds what is answered from them. Its error
// tells every mistake in the settings and the files that they name, and what
// more checks find.
func (s *source) plan(of share, more ...config.Check) (*plan, error) {
	p := new(plan)
	build := func(settings *config.Settings, good bool) (found []config.Problem) {
		p.answers, p.zones, found = answersOf(settings, good, of, s.verify)
		return append(found, problems(settings, policyConfig(settings).Check())...)
	}
	var err error
	p.settings, err = config.Load(s.Config, s.Flags, append([]config.Check{build, suffixProblems}, more...)...)
	if err != nil {
		return nil, err
	}
	p.listen = s.listen(p.settings)
	return p, nil
}

// listen is where to listen on this machine.
func (s *source) listen(settings *config.Settings) config.Listen {
	l := settings.Listen
	if !haveIPv6Loopback() {
		l = s.withoutIPv6Loopback(settings)
	}
	return whereInherited(l, s.inherited)
}

// answersOf builds what the settings say to answer, from the profile and the
// zones, of which it verifies so many signatures each. When the settings are not
// good, it looks for mistakes in these alone.
func answersOf(settings *config.Settings, good bool, of share, verify int) (*resolver.Resolver, *zoneDirectory, []config.Problem) {
	cfg := resolverConfig(settings)
	zones, err := openZones(settings.Zones)
	if err != nil {
		return nil, zones, zoneProblems(settings, err)
	}
	defer zones.close()
	if cfg.Zones, err = zones.read(of.files()); err != nil {
		return nil, zones, zoneProblems(settings, err)
	}
	cfg.Include = zones.include
	cfg.Readers = of.goroutines()
	cfg.Verify = verify
	if !good {
		// The profile and the zones have mistakes of their own, which are to
		// be told as well. They are tried with settings that have none.
		cfg = resolver.Config{NameServers: anyNameServer, Profile: cfg.Profile, PublicSuffixes: cfg.PublicSuffixes, Zones: cfg.Zones, Include: cfg.Include, Verify: verify}
	}
	answers, err := resolver.New(cfg, nil, nil)
	return answers, zones, problems(settings, err)
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
