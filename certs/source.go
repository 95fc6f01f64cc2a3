package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/acme"

	"domainpark/store"
)

// watchInterval is how often files and the date are looked at. A change on
// disk is to be served within two seconds. Polling sees what notification by
// the kernel does not: a symlink swapped in a directory above (certbot,
// Kubernetes), network file systems, a file moved away and back.
const watchInterval = time.Second

// suites are the cipher suites of TLS 1.2 that are AEADs with forward secrecy:
// those that RFC 9325 §4.2 recommends, and ChaCha20. TLS 1.3 has no others.
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// groups are the key exchanges that are offered, and are what every client has one of
// (P-256 is mandatory: RFC 8446 §9.1, RFC 8422 §5.1). Clients choose among them: with P-384
// a whole handshake takes four times as much CPU as with X25519, with P-521 fourteen times,
// and a client that offers nothing else would have had it.
var groups = []tls.CurveID{tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.X25519, tls.CurveP256}

// Source gives listeners their certificates. All methods may be called by any
// number of goroutines, Run by one at a time.
type Source struct {
	log     *slog.Logger
	store   store.Store // nil without ACME hosts
	keys    store.Keys
	tickets tls.Config // for its ticket keys alone, which every clone of TLS() shares
	table   atomic.Pointer[table]
	answers answers

	// order gets a certificate from the CA. Tests put a CA of their own here.
	order func(ctx context.Context, set *settings, host string) (*issued, error)
	// observe, when not nil, is called after each change of what Status returns.
	observe func()

	looking  sync.Mutex    // held while files are read; taken before mu
	reloaded chan struct{} // of one element: Run has new hosts to look after

	mu      sync.Mutex // guards what follows
	set     *settings
	pairs   []*pair            // as in set.files; reading takes mu or looking, writing both
	keepers map[string]*keeper // by host, as in set.hosts
	own     *tls.Certificate   // the self-signed one
}

// New returns a Source that serves what is at hand: files, and after Run has
// begun what the store holds. It fails when a setting is wrong or a file can't
// be used, with everything that is wrong. It asks no CA; Run does.
func New(cfg Config) (*Source, error) {
	s := &Source{
		log:      cfg.Log,
		store:    cfg.Store,
		reloaded: make(chan struct{}, 1),
		keepers:  map[string]*keeper{},
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	if cfg.Keys != nil {
		s.keys = *cfg.Keys
	} else {
		s.keys = store.RandomKeys()
	}
	s.answers.store = cfg.Store
	s.order = s.orderFromCA
	if err := s.Reload(cfg); err != nil {
		return nil, err
	}
	s.rollTickets(time.Now())
	s.warnSelfSigned()
	return s, nil
}

// Reload takes new settings, except for Store, Keys and Log, which are those of
// New. On an error, which tells all that is wrong, the old ones stay in force.
// It looks at all files at once and makes Run try again what failed. A file
// pair that was served before and is broken now is no error: the certificate in
// hand stays, and the log says why.
func (s *Source) Reload(cfg Config) error {
	apply, err := s.Prepare(cfg)
	if err == nil {
		apply()
	}
	return err
}

// Prepare is the part of Reload that can fail, and apply the rest. Without apply
// nothing changes. One goroutine at a time prepares and applies.
func (s *Source) Prepare(cfg Config) (apply func(), err error) {
	set, err := cfg.read()
	if len(set.hosts) > 0 && s.store == nil && cfg.Store != nil {
		err = errors.Join(err, errors.New("tls.acme: the store can't be changed while the server runs; restart it"))
	}
	s.looking.Lock()
	defer s.looking.Unlock()
	now := time.Now()
	pairs, fresh, fileErr := s.loadPairs(set.files, now)
	if err = errors.Join(err, fileErr); err != nil {
		return nil, err
	}
	own, err := s.selfSignedFor(set, now)
	if err != nil {
		return nil, err
	}
	return func() {
		s.looking.Lock()
		defer s.looking.Unlock()
		for _, p := range fresh {
			s.tellLoaded(p, now)
		}
		s.take(set, pairs, own)
	}, nil
}

// take puts settings into force. The caller holds looking.
func (s *Source) take(set *settings, pairs []*pair, own *tls.Certificate) {
	s.mu.Lock()
	s.set, s.pairs, s.own = set, pairs, own
	s.keep(set.hosts)
	s.answers.allow(set.hosts)
	s.rebuild()
	s.mu.Unlock()
	s.changed()
	select {
	case s.reloaded <- struct{}{}:
	default:
	}
}

// keep makes the keepers those of hosts. Whoever runs a keeper that is gone
// stops it. The caller holds mu.
func (s *Source) keep(hosts []string) {
	old := s.keepers
	s.keepers = make(map[string]*keeper, len(hosts))
	for _, host := range hosts {
		k := old[host]
		if k == nil {
			k = newKeeper(s, host)
		} else {
			k.hurry()
		}
		s.keepers[host] = k
	}
}

// TLS returns the settings that listeners clone. Clones stay up to date:
// certificates and ticket keys are looked up anew in each handshake.
//
// NextProtos has acme-tls/1, by which a CA asks for the answer to a challenge.
// The listener that a CA reaches at port 443 keeps it beside its own names; the
// others replace it by theirs.
func (s *Source) TLS() *tls.Config {
	return &tls.Config{
		MinVersion:       tls.VersionTLS12,
		CipherSuites:     suites,
		CurvePreferences: groups,
		NextProtos:       []string{acme.ALPNProto},
		GetCertificate:   s.certificate,
		WrapSession:      s.tickets.EncryptTicket,
		UnwrapSession:    s.tickets.DecryptTicket,
	}
}

// errNoChallenge ends the handshake of who asks for the answer to a challenge
// that nobody has set us.
var errNoChallenge = errors.New("no ACME challenge for this host is under way")

// certificate implements tls.Config.GetCertificate. It fails for none but a CA
// out of turn: a name we have no certificate for gets the default one.
func (s *Source) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if fromCA(hello) {
		if cert := s.answers.certificate(hello.Context(), strings.ToLower(hello.ServerName)); cert != nil {
			return cert, nil
		}
		return nil, errNoChallenge
	}
	return pick(hello, s.table.Load().find(hello.ServerName)), nil
}

// Run orders and renews certificates, watches files and rolls ticket keys over
// until ctx ends, and then returns when all of that has stopped. Orders need
// listeners that are bound: the CA connects to them.
func (s *Source) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	work := parts{cancel: cancel}
	defer work.end()
	work.start(func() { s.watch(ctx) })
	running := map[*keeper]context.CancelFunc{}
	for {
		s.mu.Lock()
		wanted := maps.Clone(s.keepers)
		s.mu.Unlock()
		for k, stop := range running {
			if wanted[k.host] != k {
				stop()
				delete(running, k)
			}
		}
		for _, k := range wanted {
			if running[k] == nil {
				keeping, stop := context.WithCancel(ctx)
				running[k] = stop
				work.start(func() {
					defer stop()
					k.run(keeping)
				})
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-s.reloaded:
		}
	}
}

// watch looks at the files and the date until ctx ends.
func (s *Source) watch(ctx context.Context) {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	reminded := time.Now()
	var rolled time.Time // the end of the period whose ticket keys are set
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		s.lookAtFiles(now)
		if end := store.NextPeriod(ticketPeriod, now); !end.Equal(rolled) { // also when the clock was set back
			s.rollTickets(now)
			rolled = end
		}
		s.renewSelfSigned(now)
		if now.Sub(reminded) >= remindInterval {
			s.remind(now)
			reminded = now
		}
	}
}

// changed tells a test that there is something new to see.
func (s *Source) changed() {
	if s.observe != nil {
		s.observe()
	}
}
