package certs

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

func TestHTTPChallengesOfOurHostsAloneAreAnswered(t *testing.T) {
	st := openStore(t, t.TempDir())
	s := newSource(t, fakeConfig(st, &journal{}, testHost))
	must(t, s.answers.put(t.Context(), tokenKey("tok-en_1"), []byte("tok-en_1.thumbprint")))
	must(t, st.Put(t.Context(), tokenKey("of-another-server"), []byte("another.thumbprint")))
	must(t, st.Put(t.Context(), "secret", []byte("secret")))
	must(t, st.Put(t.Context(), tokenKey("no token"), []byte("no token")))
	for name, test := range map[string]struct {
		method, host, path string
		status             int
		body               string
	}{
		"ours":               {"GET", testHost, challengePath + "tok-en_1", 200, "tok-en_1.thumbprint"},
		"any case, a port":   {"GET", "NS1.park.example:80", challengePath + "tok-en_1", 200, "tok-en_1.thumbprint"},
		"another server's":   {"GET", testHost, challengePath + "of-another-server", 200, "another.thumbprint"},
		"unknown":            {"GET", testHost, challengePath + "tok-en_2", 404, ""},
		"for another host":   {"GET", otherHost, challengePath + "tok-en_1", 404, ""},
		"no host":            {"GET", "", challengePath + "tok-en_1", 404, ""},
		"an escape":          {"GET", testHost, challengePath + "../secret", 404, ""},
		"an escaped escape":  {"GET", testHost, challengePath + "..%2Fsecret", 404, ""},
		"no token":           {"GET", testHost, challengePath, 404, ""},
		"not base64url":      {"GET", testHost, challengePath + "no token", 404, ""},
		"elsewhere":          {"GET", testHost, "/", 404, ""},
		"something to store": {"PUT", testHost, challengePath + "tok-en_1", 405, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(test.method, "/", nil)
			r.Host, r.URL.Path = test.host, test.path
			w := httptest.NewRecorder()
			s.HTTPHandler().ServeHTTP(w, r)
			if w.Code != test.status || test.status == http.StatusOK && w.Body.String() != test.body {
				t.Errorf("got %d %q, want %d %q", w.Code, w.Body, test.status, test.body)
			}
		})
	}
	s.answers.remove(tokenKey("tok-en_1"))
	if got := s.answers.get(t.Context(), tokenKey("tok-en_1")); got != nil {
		t.Errorf("removed answer: got %q", got)
	}
}

// TestTLSChallengeIsAnsweredToTheCAAlone has a second server, which finds the
// answer in the store.
func TestTLSChallengeIsAnsweredToTheCAAlone(t *testing.T) {
	dir := t.TempDir()
	one := newSource(t, fakeConfig(openStore(t, dir), &journal{}, testHost))
	two := newSource(t, fakeConfig(openStore(t, dir), &journal{}, testHost))
	cert, _, _ := template{names: []string{testHost}}.make(t)
	answer, err := (&issued{cert: cert}).encode()
	must(t, err)
	must(t, one.answers.put(t.Context(), certificateKey(testHost), answer))

	ca := &tls.Config{ServerName: testHost, NextProtos: []string{acme.ALPNProto}, InsecureSkipVerify: true}
	for _, s := range []*Source{one, two} {
		listener := s.TLS().Clone()
		listener.NextProtos = append([]string{"h2"}, listener.NextProtos...)
		state, err := shake(t, listener, ca)
		must(t, err)
		if state.NegotiatedProtocol != acme.ALPNProto || !state.PeerCertificates[0].Equal(cert.Leaf) {
			t.Errorf("the CA: got protocol %q and certificate for %q", state.NegotiatedProtocol, state.PeerCertificates[0].DNSNames)
		}
		for name, client := range map[string]*tls.Config{
			"a client":             {ServerName: testHost, InsecureSkipVerify: true},
			"a DoH client":         {ServerName: testHost, NextProtos: []string{"h2"}, InsecureSkipVerify: true},
			"one that offers both": {ServerName: testHost, NextProtos: []string{acme.ALPNProto, "h2"}, InsecureSkipVerify: true},
		} {
			state, err := shake(t, listener, client)
			must(t, err)
			if state.NegotiatedProtocol == acme.ALPNProto || state.PeerCertificates[0].Equal(cert.Leaf) {
				t.Errorf("%s: got the CA's answer", name)
			}
		}
		for _, name := range []string{otherHost, ""} {
			client := ca.Clone()
			client.ServerName = name
			if _, err := shake(t, listener, client); err == nil {
				t.Errorf("a stranger with the CA's protocol, name %q: got a handshake, want none", name)
			}
		}
	}
	one.answers.remove(certificateKey(testHost))
	for _, s := range []*Source{one, two} {
		if got := s.answers.certificate(t.Context(), testHost); got != nil {
			t.Error("removed answer is still there")
		}
	}
}

func TestStoreIsAutocertsAndBack(t *testing.T) {
	st := openStore(t, t.TempDir())
	cert, _, _ := template{names: []string{testHost}}.make(t)
	text, err := (&issued{cert, testCA}).encode()
	must(t, err)
	must(t, st.Put(t.Context(), testHost, text))
	m := &autocert.Manager{Cache: st, HostPolicy: autocert.HostWhitelist(testHost)}
	hello := &tls.ClientHelloInfo{ServerName: testHost, CipherSuites: suites,
		SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}, SupportedCurves: []tls.CurveID{tls.CurveP256}}
	got, err := m.GetCertificate(hello)
	if err != nil || !got.Leaf.Equal(cert.Leaf) {
		t.Errorf("autocert reads our certificate: got error %v", err)
	}
	back, err := decodeIssued(text, testHost)
	if err != nil || !back.cert.Leaf.Equal(cert.Leaf) || back.directory != testCA {
		t.Errorf("we read our own: got %+v, error %v", back, err)
	}
}
