package certs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/acme"

	"domainpark/store"
)

const (
	testHost  = "ns1.park.example"
	otherHost = "ns2.park.example"
	testCA    = "https://ca.example/directory"
	day       = 24 * time.Hour
	life      = 90 * day
)

// fakeCA issues certificates in no time, or fails.
type fakeCA struct {
	t      *testing.T
	mu     sync.Mutex
	err    error         // when not nil, orders fail with it
	life   time.Duration // of the certificates
	orders []time.Time   // when they were made
}

func (ca *fakeCA) order(_ context.Context, set *settings, host string) (*issued, error) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	ca.orders = append(ca.orders, time.Now())
	if ca.err != nil {
		return nil, ca.err
	}
	cert, _, _ := template{names: []string{host}, after: time.Now().Add(ca.life)}.make(ca.t)
	return &issued{cert, set.directory}, nil
}

func (ca *fakeCA) fail(err error) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	ca.err = err
}

func (ca *fakeCA) made() []time.Time {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	return ca.orders
}

// fakeServer is a Source with a fake CA. Only its keepers run: the file watcher
// would tick through the months that pass here.
func fakeServer(t *testing.T, ca *fakeCA, st store.Store, log *journal, hosts ...string) (s *Source, stop func()) {
	t.Helper()
	s = newSource(t, fakeConfig(st, log, hosts...))
	s.order = ca.order
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, k := range s.keepers {
		wg.Go(func() { k.run(ctx) })
	}
	return s, sync.OnceFunc(func() {
		cancel()
		wg.Wait()
	})
}

func fakeConfig(st store.Store, log *journal, hosts ...string) Config {
	return Config{ACME: ACME{Hosts: hosts, Directory: testCA}, DoH: []string{":443"}, Store: st, Log: log.logger()}
}

func TestRenewalComesWhenAThirdOfTheLifeIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, log := &fakeCA{t: t, life: life}, &journal{}
		began := time.Now()
		s, stop := fakeServer(t, ca, openStore(t, t.TempDir()), log, testHost)
		defer stop()
		synctest.Wait()
		first := served(t, s, testHost)
		time.Sleep(60*day - time.Minute)
		wantServed(t, s, testHost, first)
		time.Sleep(2 * time.Hour)
		if served(t, s, testHost) == first {
			t.Error("30 days before its end the certificate is not renewed")
		}
		time.Sleep(60 * day)
		made := ca.made()
		if len(made) != 3 {
			t.Fatalf("got %d orders in 120 days, want 3", len(made))
		}
		for i, at := range made {
			if due := began.Add(time.Duration(i) * 60 * day); at.Before(due) || at.After(due.Add(time.Duration(i)*renewalJitter)) {
				t.Errorf("order %d: made at %s, want %s or up to an hour after", i, at, due)
			}
		}
		log.want(t, "certificate issued", 3)
		log.want(t, "level=ERROR", 0)
	})
}

func TestCAThatIsDownAtStartIsAskedLessAndLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, log := &fakeCA{t: t, life: life, err: errors.New("dial tcp: connection refused")}, &journal{}
		s, stop := fakeServer(t, ca, openStore(t, t.TempDir()), log, testHost)
		defer stop()
		synctest.Wait()
		wantSelfSigned(t, s, testHost)
		wantSelfSigned(t, s, "")
		log.want(t, "no certificate yet: a self-signed one serves", 1)

		time.Sleep(30 * day)
		made := ca.made()
		if n := len(made); n < 90 || n > 135 {
			t.Errorf("got %d orders in 30 days, want one in 6 hours to 7.5, and a few at first", n)
		}
		for i := 1; i < len(made); i++ {
			pause := made[i].Sub(made[i-1])
			want := min(unreachedPause<<min(i-1, 10), longestPause)
			if pause < want || pause > want+want/4+time.Millisecond {
				t.Errorf("pause %d: got %s, want %s to a quarter more", i, pause, want)
			}
		}
		log.want(t, "certificate order failed", len(made))
		log.want(t, "no certificate yet", 1)
		st := s.Status()[0]
		if st.Failures != len(made) || st.Failed != len(made) || st.Issued != 0 || st.Err == nil || !st.Expires.IsZero() || !st.Renewal.After(time.Now()) || st.Name != testHost {
			t.Errorf("status: got %+v", st)
		}

		ca.fail(nil)
		time.Sleep(8 * time.Hour)
		if st := s.Status()[0]; st.Failures != 0 || st.Failed != len(made) || st.Issued != 1 || st.Err != nil || st.Expires.IsZero() || !st.Default {
			t.Errorf("status after the CA came back: got %+v", st)
		}
	})
}

func TestCertificateInHandOutlastsACAThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, log := &fakeCA{t: t, life: life}, &journal{}
		dir := t.TempDir()
		s, stop := fakeServer(t, ca, openStore(t, dir), log, testHost)
		defer stop()
		synctest.Wait()
		first := served(t, s, testHost)
		ca.fail(errors.New("dial tcp: i/o timeout"))
		time.Sleep(89 * day)
		wantServed(t, s, testHost, first)
		log.want(t, "the one in hand serves on", len(ca.made())-1)
		time.Sleep(2 * day)
		wantServed(t, s, testHost, first) // better an honest error than another's name
		if log.count("has expired and serves on") == 0 {
			t.Error("the log does not tell that the certificate has expired")
		}
		stop()
		s, stop = fakeServer(t, ca, openStore(t, dir), log, testHost)
		defer stop()
		synctest.Wait()
		wantServed(t, s, testHost, first)
		ca.fail(nil)
		time.Sleep(8 * time.Hour)
		if served(t, s, testHost) == first {
			t.Error("the expired certificate was not renewed when the CA came back")
		}
	})
}

// TestPausesFollowTheReason has the reasons in the words of acme.Client.
func TestPausesFollowTheReason(t *testing.T) {
	limited := func(after string) error {
		return fmt.Errorf("CA: %w", &acme.Error{StatusCode: 429, ProblemType: "urn:ietf:params:acme:error:rateLimited",
			Header: http.Header{"Retry-After": {after}}})
	}
	short := &issued{}
	short.cert, _, _ = template{after: time.Now().Add(day)}.make(t)
	for name, test := range map[string]struct {
		failures int
		err      error
		have     *issued
		want     time.Duration
	}{
		"out of reach":               {1, errors.New("connection refused"), nil, time.Minute},
		"out of reach, again":        {4, errors.New("connection refused"), nil, 8 * time.Minute},
		"out of reach, for long":     {1000, errors.New("connection refused"), nil, 6 * time.Hour},
		"a fault of the CA's":        {1, &acme.Error{StatusCode: 503}, nil, time.Minute},
		"refused":                    {1, fmt.Errorf("x: %w", &acme.Error{StatusCode: 403}), nil, 15 * time.Minute},
		"failed validation":          {2, errors.Join(fmt.Errorf("http-01: %w", &acme.AuthorizationError{})), nil, 30 * time.Minute},
		"limited, no time given":     {1, limited(""), nil, time.Hour},
		"limited for 3 hours":        {1, limited("10800"), nil, 3 * time.Hour},
		"limited for a year":         {1, limited("31536000"), nil, 48 * time.Hour},
		"no challenge in common":     {1, fmt.Errorf("%w, only dns-01", errNotOffered), nil, 15 * time.Minute},
		"one-day certificates":       {1000, errors.New("connection refused"), short, 30 * time.Minute},
		"one-day, failed validation": {1, &acme.OrderError{}, short, 15 * time.Minute},
	} {
		if got := backoff(test.failures, test.err, test.have); got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
}

func TestReloadRetriesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, log := &fakeCA{t: t, life: life, err: &acme.AuthorizationError{}}, &journal{}
		st := openStore(t, t.TempDir())
		s, stop := fakeServer(t, ca, st, log, testHost)
		defer stop()
		time.Sleep(day)
		ca.fail(nil)
		before := len(ca.made())
		must(t, s.Reload(fakeConfig(st, log, testHost)))
		synctest.Wait()
		if n := len(ca.made()) - before; n != 1 {
			t.Errorf("got %d orders after the reload, want 1", n)
		}
		must(t, s.Reload(fakeConfig(st, log, testHost)))
		synctest.Wait()
		if n := len(ca.made()) - before; n != 1 {
			t.Errorf("got %d orders after a reload with nothing to do, want no more", n)
		}
	})
}

func TestOtherDirectoryMeansANewCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, log := &fakeCA{t: t, life: life}, &journal{}
		st := openStore(t, t.TempDir())
		s, stop := fakeServer(t, ca, st, log, testHost)
		defer stop()
		synctest.Wait()
		staging := served(t, s, testHost)
		cfg := fakeConfig(st, log, testHost)
		cfg.ACME.Directory = "https://other.example/directory"
		ca.mu.Lock()
		ca.life = life / 2 // lasts less long, and is to be preferred nevertheless
		ca.mu.Unlock()
		must(t, s.Reload(cfg))
		synctest.Wait()
		production := served(t, s, testHost)
		if production == staging || len(ca.made()) != 2 {
			t.Errorf("got %d orders, want 2, the second for the other CA", len(ca.made()))
		}
		stop()
		again := newSource(t, cfg)
		again.order = ca.order
		k := again.keepers[testHost]
		k.step(t.Context())
		wantServed(t, again, testHost, production)
		if len(ca.made()) != 2 {
			t.Error("a restart ordered once more")
		}
	})
}

// flakyStore fails to write while broken is set.
type flakyStore struct {
	store.Store
	mu     sync.Mutex
	broken error
}

func (f *flakyStore) Put(ctx context.Context, key string, value []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken != nil {
		return f.broken
	}
	return f.Store.Put(ctx, key, value)
}

func (f *flakyStore) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken = err
}

func TestCertificateThatCannotBeKeptIsServedAndNotOrderedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, log := &fakeCA{t: t, life: life}, &journal{}
		st := &flakyStore{Store: openStore(t, t.TempDir()), broken: errors.New("no space left on device")}
		s, stop := fakeServer(t, ca, st, log, testHost)
		defer stop()
		time.Sleep(day)
		serial := served(t, s, testHost)
		if len(ca.made()) != 1 || log.count("no space left on device") == 0 {
			t.Errorf("got %d orders, want 1; the log:\n%s", len(ca.made()), log)
		}
		if _, err := st.Get(t.Context(), testHost); err != store.ErrNotFound {
			t.Errorf("store: got error %v, want nothing in it", err)
		}
		st.set(nil)
		time.Sleep(8 * time.Hour)
		text, err := st.Get(t.Context(), testHost)
		must(t, err)
		kept, err := decodeIssued(text, testHost)
		must(t, err)
		if got := kept.cert.Leaf.SerialNumber.String(); got != serial || len(ca.made()) != 1 {
			t.Errorf("store: got certificate %s after %d orders, want %s after 1", got, len(ca.made()), serial)
		}
		if st := s.Status()[0]; st.Err != nil {
			t.Errorf("status: got error %v", st.Err)
		}
	})
}

func TestDamagedCertificateInTheStoreIsReplacedAndReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		foreign, _, _ := template{names: []string{otherHost}}.make(t)
		text, err := (&issued{cert: foreign}).encode()
		must(t, err)
		for _, text := range [][]byte{[]byte("no PEM"), text, nil} {
			ca, log := &fakeCA{t: t, life: life}, &journal{}
			st := openStore(t, t.TempDir())
			must(t, st.Put(t.Context(), testHost, text))
			s, stop := fakeServer(t, ca, st, log, testHost)
			synctest.Wait()
			log.want(t, "certificate in the store can't be used", 1)
			if st := s.Status()[0]; len(ca.made()) != 1 || st.Expires.IsZero() {
				t.Errorf("got %d orders, status %+v, want a new certificate", len(ca.made()), st)
			}
			stop()
		}
	})
}

func TestPanicInAnOrderIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &journal{}
		s := newSource(t, fakeConfig(openStore(t, t.TempDir()), log, testHost))
		s.order = func(context.Context, *settings, string) (*issued, error) { panic("a chain of nil") }
		k := s.keepers[testHost]
		if next := k.step(t.Context()); time.Until(next) < unreachedPause {
			t.Errorf("next attempt: got %s, want a pause", next)
		}
		log.want(t, "BUG: panic: a chain of nil", 1)
	})
}

// TestReloadKeepsAtOnceWhatCouldNotBeKept: the operator has made room and says
// so. Without that the certificate went into the store when it was due for
// renewal, and a restart before ordered another one.
func TestReloadKeepsAtOnceWhatCouldNotBeKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, log := &fakeCA{t: t, life: life}, &journal{}
		st := &flakyStore{Store: openStore(t, t.TempDir()), broken: errors.New("no space left on device")}
		s, stop := fakeServer(t, ca, st, log, testHost)
		defer stop()
		synctest.Wait()
		st.set(nil)
		must(t, s.Reload(fakeConfig(st, log, testHost)))
		synctest.Wait()
		if _, err := st.Get(t.Context(), testHost); err != nil || len(ca.made()) != 1 {
			t.Errorf("store: got error %v after %d orders, want the certificate after 1", err, len(ca.made()))
		}
		if st := s.Status()[0]; st.Err != nil || st.Issued != 1 || st.Failed != 1 {
			t.Errorf("status: got %+v", st)
		}
	})
}
