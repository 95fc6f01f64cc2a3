package listeners

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// visitor is a TLS client that keeps a ticket from one handshake to the next,
// whichever server gave it out.
type visitor struct {
	config *tls.Config
	ticket *tls.ClientSessionState
}

func newVisitor() *visitor {
	v := &visitor{config: clientTLS()}
	v.config.ClientSessionCache = v
	return v
}

// Put and Get implement tls.ClientSessionCache.
func (v *visitor) Put(_ string, ticket *tls.ClientSessionState) { v.ticket = ticket }
func (v *visitor) Get(string) (ticket *tls.ClientSessionState, ok bool) {
	return v.ticket, v.ticket != nil
}

// visit makes a connection to s, asks once so that a ticket arrives, and tells
// whether the session was resumed.
func (v *visitor) visit(t *testing.T, s *running) (resumed bool, err error) {
	t.Helper()
	c := tls.Client(dial(t, "tcp", s.addrOf(t, "dot")), v.config)
	defer c.Close()
	if err := c.Handshake(); err != nil {
		return false, err
	}
	write(t, c, framed(plainQuery))
	_, err = readFrame(c)
	return c.ConnectionState().DidResume, err
}

// dotWith is a DoT server with ticket keys and accounts.
func dotWith(t *testing.T, l *ledger, key byte) *running {
	t.Helper()
	cfg := webConfig()
	cfg.DoT, cfg.Connections = []string{"127.0.0.1:0"}, l
	cfg.TLS.SetSessionTicketKeys([][32]byte{{key}})
	return start(t, cfg, mirror)
}

func TestHandshakesAreChargedByWhatTheyCost(t *testing.T) {
	l, v := newLedger(), newVisitor()
	s := dotWith(t, l, 1)
	for _, c := range []struct {
		name string
		s    *running
		want []string
	}{
		{"a first visit", s, []string{"open", "handshake"}},
		{"with a ticket", s, []string{"open", "resume"}},
		{"with a ticket again", s, []string{"open", "resume"}},
		{"with another server's ticket", dotWith(t, l, 2), []string{"open", "resume", "handshake"}},
	} {
		resumed, err := v.visit(t, c.s)
		if err != nil || resumed != (len(c.want) == 2 && c.want[1] == "resume") {
			t.Errorf("%s: resumed %v, %v", c.name, resumed, err)
		}
		l.expect(t, c.name, c.want...)
	}
}

// A hello that claims to resume gets no signature for it, whatever it names.
func TestAForgedTicketIsChargedAsAFullHandshake(t *testing.T) {
	for name, change := range map[string]func(*tls.Config){
		"with a server name": func(*tls.Config) {},
		"without":            func(c *tls.Config) { c.ServerName, c.InsecureSkipVerify = "", true },
	} {
		l, v := newLedger(), newVisitor()
		change(v.config)
		if _, err := v.visit(t, dotWith(t, newLedger(), 2)); err != nil {
			t.Fatal(err)
		}
		l.full = 0
		if _, err := v.visit(t, dotWith(t, l, 1)); err == nil {
			t.Errorf("%s: the handshake went through", name)
		}
		l.expect(t, name, "open", "resume", "handshake")
	}
}

func TestHandshakesOverTheLimitAreBrokenOff(t *testing.T) {
	l, v := newLedger(), newVisitor()
	l.full, l.resumed = 1, 1
	s := dotWith(t, l, 1)
	for i, ok := range []bool{true, true, false} { // a full one, a resumed one, none
		if _, err := v.visit(t, s); (err == nil) != ok {
			t.Errorf("visit %d: %v", i+1, err)
		}
	}
	if _, err := newVisitor().visit(t, s); err == nil {
		t.Error("a second full handshake went through")
	}
	settled(t, "open connections", 0, l.open)
	if _, err := newVisitor().visit(t, s); err == nil {
		t.Error("a third full handshake went through")
	}
}

// TLS 1.2 does not say in its hello whether it has a ticket.
func TestTLS12IsChargedAsFull(t *testing.T) {
	l, v := newLedger(), newVisitor()
	v.config.MaxVersion = tls.VersionTLS12
	s := dotWith(t, l, 1)
	for range 2 {
		if _, err := v.visit(t, s); err != nil {
			t.Fatal(err)
		}
		l.expect(t, "TLS 1.2", "open", "handshake")
	}
}

func TestDoHHandshakesAreCharged(t *testing.T) {
	l := newLedger()
	l.full = 1
	cfg := webConfig()
	cfg.DoH, cfg.Connections = []string{"127.0.0.1:0"}, l
	s := start(t, cfg, mirror)
	dialTLS(t, s.addrOf(t, "doh"), "http/1.1").Close()
	if got := negotiated(t, s.addrOf(t, "doh"), []string{"http/1.1"}); got != "refused" {
		t.Errorf("second handshake: %s", got)
	}
	settled(t, "open connections", 0, l.open)
	l.expect(t, "two handshakes", "open", "handshake", "open", "handshake")
}

// TestQUICHandshakesAreCharged: to an address that was used by nobody else.
func TestQUICHandshakesAreCharged(t *testing.T) {
	l, m := newLedger(), newRemembering()
	cfg := webConfig()
	cfg.DoQ, cfg.Connections = []string{"127.0.0.1:0"}, l
	s := start(t, cfg, mirror)
	addr := s.addrOf(t, "doq")
	visit := func(early *quic.Config) {
		t.Helper()
		c := dialEarly(t, addr, m.tls(), early)
		select {
		case <-c.HandshakeComplete():
		case <-time.After(patience):
			t.Fatal("no handshake")
		}
		expectDoQAnswer(t, c, plainQuery)
		c.CloseWithError(doqNoError, "")
		settled(t, "open connections", 0, l.open)
	}
	m.visit(t, addr)
	settled(t, "open connections", 0, l.open)
	l.expect(t, "a first visit, charged when it is complete", "newcomer", "handshake", "open")
	visit(&quic.Config{TokenStore: tokens{m}})
	l.expect(t, "with token and ticket", "open", "resume")
	l.set(&l.unproven, 0)
	visit(nil)
	if got := slices.Compact(l.take()); !slices.Equal(got, []string{"newcomer", "open", "resume"}) {
		t.Errorf("with a ticket, made to prove its address: the accounts were asked %q", got)
	}
	l.set(&l.unproven, plenty)
	m.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	visit(nil)
	l.expect(t, "with nothing", "newcomer", "handshake", "open")
}

func TestQUICHandshakesOverTheLimitAreRefused(t *testing.T) {
	for name, unproven := range map[string]int{"after the handshake": plenty, "after a Retry": 0} {
		l := newLedger()
		l.full, l.unproven = 0, unproven
		cfg := webConfig()
		cfg.DoQ, cfg.Connections = []string{"127.0.0.1:0"}, l
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		c, err := quic.DialAddr(ctx, start(t, cfg, mirror).addrOf(t, "doq"), clientTLS("doq"), nil)
		if err == nil {
			<-c.Context().Done()
			err = context.Cause(c.Context())
		}
		_, alert := errors.AsType[*quic.TransportError](err)
		closed, late := errors.AsType[*quic.ApplicationError](err)
		if unproven == 0 && !alert || unproven > 0 && (!late || closed.ErrorCode != doqExcessiveLoad) {
			t.Errorf("%s: got %v", name, err)
		}
		settled(t, "open connections", 0, l.open)
	}
}

// What GetConfigForClient returns keeps what its transport needs.
func TestDoTKeepsItsRecordSize(t *testing.T) {
	cfg := webConfig()
	own := cfg.TLS.Clone()
	cfg.TLS.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return own, nil }
	client, server := net.Pipe()
	defer client.Close()
	got, err := charged(dotConfig(cfg.TLS), unlimited{}).GetConfigForClient(&tls.ClientHelloInfo{Conn: server})
	if err != nil || !got.DynamicRecordSizingDisabled || !slices.Equal(got.NextProtos, []string{"dot"}) {
		t.Errorf("got %+v, %v", got, err)
	}
}
