package certs

import (
	"crypto/tls"
	"testing"
	"testing/synctest"
	"time"

	"domainpark/store"
)

// resumer is a client that comes back with the ticket it was given.
func resumer(version uint16) *tls.Config {
	return &tls.Config{ServerName: testHost, InsecureSkipVerify: true, MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
}

func resumed(t *testing.T, server, client *tls.Config) bool {
	t.Helper()
	state, err := shake(t, server, client)
	if err != nil {
		t.Fatal(err)
	}
	return state.DidResume
}

func TestTicketsAreAcceptedByEveryServerWithTheSeed(t *testing.T) {
	keys, others := store.NewKeys([32]byte{1}), store.NewKeys([32]byte{2})
	log := (&journal{}).logger()
	one, two := newSource(t, Config{Keys: &keys, Log: log}), newSource(t, Config{Keys: &keys, Log: log})
	three := newSource(t, Config{Keys: &others, Log: log})
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		client := resumer(version)
		if resumed(t, one.TLS(), client) {
			t.Fatalf("%s: the first connection was resumed", name)
		}
		if !resumed(t, one.TLS(), client) {
			t.Errorf("%s: the server refuses its own ticket", name)
		}
		if !resumed(t, two.TLS(), client) {
			t.Errorf("%s: a server with the same seed refuses the ticket", name)
		}
		if resumed(t, three.TLS(), client) {
			t.Errorf("%s: a server with another seed accepts the ticket", name)
		}
	}
}

func TestTicketKeysRollOverUnderListenersThatCloned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t, Config{Log: (&journal{}).logger()})
		clone := s.TLS().Clone()
		defer start(t, s)()
		toMidnight := func() { time.Sleep(time.Until(store.NextPeriod(ticketPeriod, time.Now())) + watchInterval) }

		client := resumer(tls.VersionTLS13)
		resumed(t, clone, client)
		toMidnight()
		// The server gives a resumed client a new ticket; this one keeps the old.
		session, _ := client.ClientSessionCache.Get(testHost)
		if !resumed(t, clone, client) {
			t.Error("yesterday's ticket is refused")
		}
		toMidnight()
		client.ClientSessionCache.Put(testHost, session)
		if resumed(t, clone, client) {
			t.Error("the ticket of the day before yesterday is accepted")
		}
		if !resumed(t, clone, client) {
			t.Error("today's ticket is refused")
		}
	})
}

func TestServerWhoseClockIsAheadSharesTickets(t *testing.T) {
	keys := store.NewKeys([32]byte{1})
	log := (&journal{}).logger()
	behind, ahead := newSource(t, Config{Keys: &keys, Log: log}), newSource(t, Config{Keys: &keys, Log: log})
	ahead.rollTickets(time.Now().Add(ticketPeriod))
	client := resumer(tls.VersionTLS13)
	resumed(t, ahead.TLS(), client)
	if !resumed(t, behind.TLS(), client) {
		t.Error("the ticket of a server whose clock is ahead is refused")
	}
}

func TestQUICKeysAreTheFleetsAndApart(t *testing.T) {
	keys := store.NewKeys([32]byte{1})
	log := (&journal{}).logger()
	one, two := newSource(t, Config{Keys: &keys, Log: log}).QUICKeys(), newSource(t, Config{Keys: &keys, Log: log}).QUICKeys()
	if one != two {
		t.Error("two servers with one seed have different keys")
	}
	if one.Token == one.Reset {
		t.Error("both keys are the same")
	}
	if random := newSource(t, Config{Log: log}).QUICKeys(); random == one {
		t.Error("a server without a seed has the keys of one")
	}
}

func TestProtocolVersionsAndSuites(t *testing.T) {
	s := newSource(t, Config{Log: (&journal{}).logger()})
	for name, test := range map[string]struct {
		client *tls.Config
		ok     bool
	}{
		"TLS 1.3":               {&tls.Config{}, true},
		"TLS 1.2":               {&tls.Config{MaxVersion: tls.VersionTLS12}, true},
		"TLS 1.2 with ChaCha20": {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}}, true},
		"TLS 1.2 with CBC":      {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}}, false},
		"TLS 1.1":               {&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, false},
		"X25519 alone":          {&tls.Config{CurvePreferences: []tls.CurveID{tls.X25519}}, true},
		"P-256 alone":           {&tls.Config{CurvePreferences: []tls.CurveID{tls.CurveP256}}, true},
		"a hybrid alone":        {&tls.Config{CurvePreferences: []tls.CurveID{tls.X25519MLKEM768}}, true},
		"P-521 first":           {&tls.Config{CurvePreferences: []tls.CurveID{tls.CurveP521, tls.CurveP256}}, true},
		"P-521 alone":           {&tls.Config{CurvePreferences: []tls.CurveID{tls.CurveP521}}, false},
		"P-521 alone, TLS 1.2":  {&tls.Config{CurvePreferences: []tls.CurveID{tls.CurveP521}, MaxVersion: tls.VersionTLS12}, false},
	} {
		client := test.client.Clone()
		client.InsecureSkipVerify = true
		if _, err := shake(t, s.TLS(), client); (err == nil) != test.ok {
			t.Errorf("%s: got error %v, want success %v", name, err, test.ok)
		}
	}
}

func TestSelfSignedCertificateHasTheServersNames(t *testing.T) {
	log := &journal{}
	s := newSource(t, Config{Names: []string{"NS1.park.example.", "localhost"}, Addresses: addresses("192.0.2.1", "2001:db8::1"), Log: log.logger()})
	log.want(t, "the certificate is self-signed", 1)
	state, err := shake(t, s.TLS(), &tls.Config{InsecureSkipVerify: true})
	must(t, err)
	leaf := state.PeerCertificates[0]
	for _, name := range []string{testHost, "localhost", "127.0.0.1", "::1", "192.0.2.1", "2001:db8::1"} {
		if err := leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if st := s.Status(); len(st) != 1 || st[0].Source != FromSelfSigned || st[0].Name != testHost || !st[0].Default {
		t.Errorf("status: got %+v", st)
	}
	first := served(t, s, "")
	must(t, s.Reload(Config{Names: []string{testHost, "localhost"}, Addresses: addresses("192.0.2.1", "2001:db8::1")}))
	wantServed(t, s, "", first)
	s.renewSelfSigned(time.Now().Add(300 * day))
	wantServed(t, s, "", first)
	s.renewSelfSigned(time.Now().Add(340 * day))
	if served(t, s, "") == first {
		t.Error("the self-signed certificate is not renewed before its end")
	}
	must(t, s.Reload(Config{Names: []string{otherHost}}))
	state, err = shake(t, s.TLS(), &tls.Config{InsecureSkipVerify: true})
	must(t, err)
	if err := state.PeerCertificates[0].VerifyHostname(otherHost); err != nil {
		t.Errorf("after a reload with another name: %v", err)
	}
}
