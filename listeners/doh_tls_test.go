package listeners

import (
	"context"
	"crypto/tls"
	"testing"

	"github.com/quic-go/quic-go"
)

// negotiated is the protocol that a server at addr picks, "refused" when the
// handshake fails.
func negotiated(t *testing.T, addr string, offer []string) string {
	t.Helper()
	c := tls.Client(dial(t, "tcp", addr), clientTLS(offer...))
	if c.Handshake() != nil {
		return "refused"
	}
	return c.ConnectionState().NegotiatedProtocol
}

func TestQUICSpeaksItsProtocolOnly(t *testing.T) {
	cfg := webConfig()
	cfg.TLS.NextProtos = []string{acmeALPN}
	cfg.DoQ, cfg.DoH = []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}
	s := start(t, cfg, mirror)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for transport, alpn := range map[string]string{"doq": "doq", "doh3": "h3"} {
		for _, offer := range []string{"doq", "h3", "h2", acmeALPN} {
			c, err := quic.DialAddr(ctx, s.addrOf(t, transport), clientTLS(offer), nil)
			if err == nil {
				c.CloseWithError(0, "")
			}
			if (err == nil) != (offer == alpn) {
				t.Errorf("%s with %s: %v", transport, offer, err)
			}
		}
	}
}

// Certificates that a handshake picks come through, with our ALPN and not theirs.
func TestGetConfigForClientIsHeard(t *testing.T) {
	cfg := webConfig()
	own := cfg.TLS
	own.NextProtos = []string{"another"}
	cfg.TLS = &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) { return own, nil }}
	cfg.DoQ, cfg.DoH = []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}
	s := start(t, cfg, mirror)
	expectDoQAnswer(t, dialDoQ(t, s), plainQuery)
	if got := negotiated(t, s.addrOf(t, "doh"), []string{"h2"}); got != "h2" {
		t.Errorf("got %q, want h2", got)
	}
}
