package certs

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func TestServerWithoutChallengesWaitsForAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, log, dir := &fakeCA{t: t, life: life}, &journal{}, t.TempDir()
		cfg := fakeConfig(openStore(t, dir), log, testHost)
		cfg.DoH = nil
		waiting := newSource(t, cfg)
		waiting.order = ca.order
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); waiting.keepers[testHost].run(ctx) }()
		time.Sleep(time.Hour)
		wantSelfSigned(t, waiting, testHost)
		if st := waiting.Status()[0]; st.Err != errOthersOrder || len(ca.made()) != 0 {
			t.Errorf("got %d orders, status %+v, want none and a reason", len(ca.made()), st)
		}
		ordering, stop := fakeServer(t, ca, openStore(t, dir), log, testHost)
		time.Sleep(2 * foreignInterval)
		wantServed(t, waiting, testHost, served(t, ordering, testHost))
		stop()
		cancel()
		<-done
	})
}

// TestServersOnOneStoreOrderOnce runs through two renewals.
func TestServersOnOneStoreOrderOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, log, dir := &fakeCA{t: t, life: life}, &journal{}, t.TempDir()
		var servers []*Source
		for range 3 {
			s, stop := fakeServer(t, ca, openStore(t, dir), log, testHost)
			defer stop()
			servers = append(servers, s)
		}
		for orders := 1; orders <= 3; orders++ {
			time.Sleep(61 * day)
			if got := len(ca.made()); got != orders+1 {
				t.Fatalf("got %d orders, want %d", got, orders+1)
			}
			for _, s := range servers {
				wantServed(t, s, testHost, served(t, servers[0], testHost))
			}
		}
	})
}

// TestServersThatChangeTheCAOrderOnce has the new CA's certificate end before
// the old one's.
func TestServersThatChangeTheCAOrderOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, log, dir := &fakeCA{t: t, life: life}, &journal{}, t.TempDir()
		var servers []*Source
		for range 2 {
			s, stop := fakeServer(t, ca, openStore(t, dir), log, testHost)
			defer stop()
			servers = append(servers, s)
		}
		time.Sleep(time.Minute)
		ca.mu.Lock()
		ca.life = life / 2
		ca.mu.Unlock()
		for _, s := range servers {
			cfg := fakeConfig(s.store, log, testHost)
			cfg.ACME.Directory = "https://other.example/directory"
			must(t, s.Reload(cfg))
		}
		time.Sleep(time.Minute)
		if n := len(ca.made()); n != 2 {
			t.Errorf("got %d orders, want 2: one from each CA", n)
		}
		wantServed(t, servers[1], testHost, served(t, servers[0], testHost))
	})
}

// TestCertificatesOfOneSecondAreNotTwoOrders has both servers renew at once what
// was issued in the same second: certificates count no smaller time.
func TestCertificatesOfOneSecondAreNotTwoOrders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, log, dir := &fakeCA{t: t, life: life}, &journal{}, t.TempDir()
		var servers []*Source
		for range 2 {
			s, stop := fakeServer(t, ca, openStore(t, dir), log, testHost)
			defer stop()
			servers = append(servers, s)
		}
		time.Sleep(500 * time.Millisecond) // a waiter asks for the lock four times a second
		for _, s := range servers {
			k := s.keepers[testHost]
			s.mu.Lock()
			k.renewal = time.Now()
			s.mu.Unlock()
			k.hurry()
		}
		time.Sleep(400 * time.Millisecond)
		if got := len(ca.made()); got != 2 {
			t.Errorf("got %d orders, want 2: the first one and one renewal", got)
		}
		wantServed(t, servers[1], testHost, served(t, servers[0], testHost))
	})
}

func TestHostsAreAddedAndDroppedByReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, log := &fakeCA{t: t, life: life}, &journal{}
		st := openStore(t, t.TempDir())
		s := newSource(t, fakeConfig(st, log, testHost))
		s.order = ca.order
		stop := start(t, s)
		synctest.Wait()
		first := served(t, s, "")
		must(t, s.Reload(fakeConfig(st, log, testHost, otherHost)))
		synctest.Wait()
		if served(t, s, otherHost) == first || len(ca.made()) != 2 {
			t.Errorf("got %d orders, want a second one for the new host", len(ca.made()))
		}
		wantServed(t, s, "", first)
		must(t, s.Reload(fakeConfig(st, log, otherHost)))
		synctest.Wait()
		if served(t, s, testHost) == first || len(s.Status()) != 1 {
			t.Errorf("the dropped host is still there: %+v", s.Status())
		}
		must(t, s.Reload(Config{Log: log.logger()}))
		synctest.Wait()
		wantSelfSigned(t, s, testHost)
		stop()
	})
}

func TestPendingHostIsNotServedAnothersName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, log := &fakeCA{t: t, life: life}, &journal{}
		st := openStore(t, t.TempDir())
		s, stop := fakeServer(t, ca, st, log, testHost)
		synctest.Wait()
		first := served(t, s, testHost)
		stop()
		ca.fail(errors.New("connection refused"))
		s, stop = fakeServer(t, ca, st, log, otherHost, testHost)
		defer stop()
		synctest.Wait()
		wantServed(t, s, testHost, first)
		wantSelfSigned(t, s, otherHost)
		wantServed(t, s, "", first) // the first host's is on its way, and this one can be verified
		wantServed(t, s, "unknown.example", first)
	})
}

func TestFileGoesBeforeTheCAsCertificateOfAName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, log, dir := &fakeCA{t: t, life: life}, &journal{}, t.TempDir()
		exact, ours := template{names: []string{testHost}}.write(t, dir, "ours")
		wild, wildcard := template{names: []string{"*.wild.example"}}.write(t, dir, "wild")
		cfg := fakeConfig(openStore(t, filepath.Join(dir, "store")), log, testHost, "a.wild.example", otherHost)
		cfg.Files = []Pair{exact, wild}
		s := newSource(t, cfg)
		s.order = ca.order
		stop := start(t, s)
		synctest.Wait()
		wantServed(t, s, testHost, ours)
		wantServed(t, s, "", ours)
		wantServed(t, s, "a.wild.example", wildcard)
		if got := served(t, s, otherHost); got == ours || got == wildcard {
			t.Error("a host that no file has is served a file's certificate")
		}
		stop()
	})
}
