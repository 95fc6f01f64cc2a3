package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"strings"
	"testing"
	"time"
)

func TestPebbleIssuesByTLSALPN(t *testing.T) {
	p, log := newPebble(t), &journal{}
	s := newServer(t, p.config(t.TempDir(), t, log, kindTLSALPN), log)
	s.acceptTLS(t, p.tls)
	serial := s.waitIssued(t)
	s.wantVerified(t, p)
	wantServed(t, s.Source, "", serial)
	wantServed(t, s.Source, "unknown.example", serial)
	p.wantOrders(t, 1)
	if s.answers.certificate(t.Context(), testHost) != nil {
		t.Error("the answer to the challenge was not removed")
	}
}

func TestPebbleIssuesByHTTP(t *testing.T) {
	p, log := newPebble(t), &journal{}
	s := newServer(t, p.config(t.TempDir(), t, log, kindHTTP), log)
	s.acceptHTTP(t, p.http)
	s.waitIssued(t)
	s.wantVerified(t, p)
	p.wantOrders(t, 1)
}

// TestPebbleIssuesByTheChallengeThatWorks has port 443 closed on the way.
func TestPebbleIssuesByTheChallengeThatWorks(t *testing.T) {
	p, log := newPebble(t), &journal{}
	p.tls.Close()
	s := newServer(t, p.config(t.TempDir(), t, log, kindTLSALPN, kindHTTP), log)
	s.acceptHTTP(t, p.http)
	s.waitIssued(t)
	s.wantVerified(t, p)
	p.wantOrders(t, 2)
}

func TestPebbleRenewalUnderARunningClient(t *testing.T) {
	p, log := newPebble(t), &journal{}
	dir := t.TempDir()
	s := newServer(t, p.config(dir, t, log, kindTLSALPN), log)
	s.acceptTLS(t, p.tls)
	first := s.waitIssued(t)

	// The client connects over and over until it is served the second one.
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	dialer := tls.Dialer{Config: &tls.Config{ServerName: testHost, RootCAs: p.pool(t), NextProtos: []string{"h2"}}}
	connect := func() string {
		c, err := dialer.DialContext(ctx, "tcp", p.tls.Addr().String())
		if err != nil {
			t.Errorf("the client that verifies: %v", err)
			return ""
		}
		defer c.Close()
		return c.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	if got := connect(); got != first {
		t.Fatalf("the client got certificate %s, want %s", got, first)
	}
	second := make(chan string, 1)
	go func() {
		got := first
		for got == first {
			got = connect()
		}
		second <- got
	}()
	s.renewNow()
	renewed := <-second
	s.wait(t, "the next renewal's date", func(st Status) bool { return st.Renewal.After(time.Now().Add(59 * day)) })
	wantServed(t, s.Source, testHost, renewed)
	s.stop()
	p.wantOrders(t, 2)

	// A restart with the CA down serves what is in the store, and orders nothing.
	p.down.Store(true)
	again := newServer(t, p.config(dir, t, log, kindTLSALPN), log)
	if got := again.waitIssued(t); got != renewed {
		t.Errorf("after a restart: got certificate %s, want %s", got, renewed)
	}
	again.stop()
	p.wantOrders(t, 2)
	log.want(t, "certificate loaded from the store", 1)
}

func TestPebbleDownAtStartAndAtRenewal(t *testing.T) {
	p, log := newPebble(t), &journal{}
	p.down.Store(true)
	s := newServer(t, p.config(t.TempDir(), t, log, kindTLSALPN), log)
	s.acceptTLS(t, p.tls)
	failed := func(st Status) bool { return st.Failures == 1 }
	st := s.wait(t, "a failure", failed)
	wantError(t, st.Err, "CA "+p.directory, "EOF")
	wantSelfSigned(t, s.Source, testHost)
	log.want(t, "no certificate yet: a self-signed one serves", 1)

	p.down.Store(false)
	s.keepers[testHost].hurry()
	serial := s.waitIssued(t)

	p.down.Store(true)
	s.renewNow()
	st = s.wait(t, "a failure", failed)
	if st.Expires.IsZero() || st.Renewal.Before(time.Now()) || st.Renewal.After(time.Now().Add(2*time.Minute)) {
		t.Errorf("status: got %+v, want an expiry and the next attempt in a minute", st)
	}
	wantServed(t, s.Source, testHost, serial)
	s.wantVerified(t, p)
	log.want(t, "certificate renewal failed: the one in hand serves on", 1)
	p.wantOrders(t, 1)
}

func TestPebbleRefusesAndSaysWhy(t *testing.T) {
	for name, test := range map[string]struct {
		host   string
		want   []string
		orders int32
	}{
		"by policy":                  {"blocked.example", []string{"policy"}, 0},
		"since nobody answers there": {testHost, []string{kindTLSALPN, "Failed to connect", kindHTTP, "connection refused"}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			p, log := newPebble(t), &journal{}
			p.tls.Close()
			p.http.Close()
			cfg := p.config(t.TempDir(), t, log, kindTLSALPN, kindHTTP)
			cfg.ACME.Hosts = []string{test.host}
			s := newServer(t, cfg, log)
			st := s.wait(t, "a refusal", func(st Status) bool { return st.Failures == 1 })
			wantError(t, st.Err, test.want...)
			if st.Renewal.Before(time.Now().Add(refusedPause - time.Minute)) {
				t.Errorf("next attempt: got %s, want 15 minutes from now", st.Renewal)
			}
			p.wantOrders(t, test.orders)
		})
	}
}

// TestStrangersNamesOrderNothingAndWriteNoLog has clients ask for names that
// are not in the settings.
func TestStrangersNamesOrderNothingAndWriteNoLog(t *testing.T) {
	p, log := newPebble(t), &journal{}
	s := newServer(t, p.config(t.TempDir(), t, log, kindTLSALPN), log)
	s.acceptTLS(t, p.tls)
	serial := s.waitIssued(t)
	s.wait(t, "the keeper asleep", func(st Status) bool { return st.Renewal.After(time.Now()) })
	before := log.String()
	for i := range 50 {
		name := strings.Repeat("x", i+1) + ".park.example"
		wantServed(t, s.Source, name, serial)
		c, err := tls.Dial("tcp", p.tls.Addr().String(), &tls.Config{ServerName: name, InsecureSkipVerify: true, NextProtos: []string{"acme-tls/1"}})
		if err == nil {
			c.Close()
			t.Errorf("a stranger got an answer to a challenge for %s", name)
		}
	}
	p.wantOrders(t, 1)
	if log.String() != before {
		t.Errorf("the log grew:\n%s", strings.TrimPrefix(log.String(), before))
	}
}

// TestPebbleTwoServersOnOneStore has two servers start at once; the CA reaches
// the first of them alone, whichever orders.
func TestPebbleTwoServersOnOneStore(t *testing.T) {
	p, dir := newPebble(t), t.TempDir()
	var servers [2]*server
	for i := range servers {
		log := &journal{}
		servers[i] = newServer(t, p.config(dir, t, log, kindTLSALPN), log)
	}
	servers[0].acceptTLS(t, p.tls)
	first := servers[0].waitIssued(t)
	if got := servers[1].waitIssued(t); got != first {
		t.Errorf("the second server: got certificate %s, want the first one's, %s", got, first)
	}
	p.wantOrders(t, 1)

	for _, s := range servers {
		s.renewNow()
	}
	for _, s := range servers {
		s.wait(t, "the renewal", func(st Status) bool { return st.Renewal.After(time.Now()) && served(t, s.Source, testHost) != first })
	}
	wantServed(t, servers[1].Source, testHost, served(t, servers[0].Source, testHost))
	p.wantOrders(t, 2)
}

func TestCAThatLostItsAccountsGetsANewOne(t *testing.T) {
	p, log := newPebble(t), &journal{}
	st := t.TempDir()
	s := newServer(t, p.config(st, t, log, kindTLSALPN), log)
	s.acceptTLS(t, p.tls)
	first := s.waitIssued(t)
	key, err := s.store.Get(t.Context(), accountKey)
	must(t, err)
	p.restart()
	s.renewNow()
	s.wait(t, "the renewal", func(Status) bool { return served(t, s.Source, testHost) != first })
	s.wantVerified(t, p)
	if again, err := s.store.Get(t.Context(), accountKey); err != nil || !bytes.Equal(key, again) {
		t.Errorf("the account's key changed, error %v", err)
	}
}

func TestCAThatIsNotTrustedIsNotAsked(t *testing.T) {
	p, log := newPebble(t), &journal{}
	cfg := p.config(t.TempDir(), t, log, kindTLSALPN)
	cfg.ACME.Roots = ""
	s := newServer(t, cfg, log)
	st := s.wait(t, "a failure", func(st Status) bool { return st.Failures == 1 })
	wantError(t, st.Err, p.directory, "certificate signed by unknown authority")
	p.wantOrders(t, 0)
}
