package listeners

import (
	"crypto/rand"
	"crypto/tls"
)

// quicTLS returns a copy of given that speaks alpn and takes 0-RTT only from
// clients with a token.
func quicTLS(given *tls.Config, alpn string) *tls.Config {
	c := withALPN(given, alpn)
	choose := c.GetConfigForClient
	early := c.Clone()
	early.GetConfigForClient = nil
	keepTickets(early)
	late := withoutEarlyData(early)
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		early, late := early, late
		if choose != nil {
			own, err := choose(hello)
			if err != nil {
				return nil, err
			}
			if own != nil {
				keepTickets(own)
				early, late = own, withoutEarlyData(own)
			}
		}
		if hasToken(hello.Context()) {
			return early, nil
		}
		return late, nil
	}
	return c
}

// chargedTokens returns a copy of config, which quicTLS made, that charges
// handshakes of clients with a token. The others are charged by admit.
func chargedTokens(config *tls.Config, accounts Connections) *tls.Config {
	c := charged(config, accounts)
	charge := c.GetConfigForClient
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if hasToken(hello.Context()) {
			return charge(hello)
		}
		return chosen(config, hello)
	}
	return c
}

// keepTickets makes copies of c use c's session ticket keys: quic-go makes a
// copy for each connection, and a copy that rolled its keys over by itself
// would not understand the tickets of another.
func keepTickets(c *tls.Config) {
	keys := c.Clone()
	if c.WrapSession == nil {
		c.WrapSession = keys.EncryptTicket
	}
	if c.UnwrapSession == nil {
		c.UnwrapSession = keys.DecryptTicket
	}
}

// withoutEarlyData returns a copy of c, which keepTickets has seen, that resumes
// sessions but takes no 0-RTT.
func withoutEarlyData(c *tls.Config) *tls.Config {
	late := c.Clone()
	unwrap := c.UnwrapSession
	late.UnwrapSession = func(ticket []byte, state tls.ConnectionState) (*tls.SessionState, error) {
		session, err := unwrap(ticket, state)
		if session != nil {
			session.EarlyData = false
		}
		return session, err
	}
	return late
}

// orRandom returns key, or a random one when key is zero.
func orRandom(key [32]byte) *[32]byte {
	if key == [32]byte{} {
		_, _ = rand.Read(key[:]) // never fails
	}
	return &key
}
