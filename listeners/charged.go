package listeners

import (
	"crypto/tls"
	"errors"
	"slices"
	"time"
)

// A full handshake costs a signature and a key exchange, a resumed one the
// exchange alone. Which of them a ClientHello asks for is not known until its
// ticket has been opened, and what it claims may be a lie. So:
//
//   - who offers no pre-shared key is charged for a full handshake at the hello;
//   - who offers one is charged for a resumption at the hello, and when crypto/tls
//     then asks for a certificate, because the ticket was none of ours, for a full
//     handshake as well.
//
// Nothing is signed that was not charged as a full handshake, and no key is
// exchanged that was not charged at all. To charge at accept and to give back
// what was not needed would be wrong: who keeps handshakes open gets others of
// the prefix refused without any work of ours. TLS 1.2, whose hellos do not tell
// whether they have a ticket, is charged as full.

var errHandshakes = errors.New("more handshakes a second than a client may make")

// charged returns a copy of config that charges each handshake to its client
// and breaks off what is too much. The client sees an alert, and costs us
// reading its hello. What may go on waits at the gate.
func charged(config *tls.Config, accounts Connections) *tls.Config {
	config = timed(config)
	c := config.Clone()
	// A connection keeps its config for life: one for all of them is 500 bytes
	// less for each.
	claimed := chargedCertificate(config, accounts)
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		due := tollOf(offersKey(hello))
		if paidBy(hello.Conn) != due && !due.charge(accounts, time.Now(), remote(hello.Conn).Addr()) {
			return nil, errHandshakes
		}
		if err := enterGate(hello.Conn); err != nil {
			return nil, err
		}
		if due == tollFull {
			signed(hello.Conn)
			return chosen(config, hello)
		}
		own, err := chosen(config, hello)
		switch {
		case err != nil:
			return nil, err
		case own == config:
			return claimed, nil
		}
		return chargedCertificate(own, accounts), nil
	}
	return c
}

// timed returns a copy of config whose handshakes are not thought to be dear when
// their certificate comes from far away.
func timed(config *tls.Config) *tls.Config {
	fetch := config.GetCertificate
	if fetch == nil {
		return config
	}
	c := config.Clone()
	c.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if conn, ok := hello.Conn.(passes); ok {
			defer conn.way().aside()()
		}
		return fetch(hello)
	}
	return c
}

// chosen is config, or what config's GetConfigForClient returns.
func chosen(config *tls.Config, hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if config.GetConfigForClient == nil {
		return config, nil
	}
	own, err := config.GetConfigForClient(hello)
	if own == nil {
		own = config
	}
	return own, err
}

// offersKey tells whether hello asks to resume a session.
func offersKey(hello *tls.ClientHelloInfo) bool {
	return slices.Contains(hello.Extensions, preSharedKey)
}

// chargedCertificate returns a copy of config that charges whoever needs a
// certificate for a full handshake. crypto/tls does not always ask
// GetCertificate where there are Certificates, so the copy has none.
func chargedCertificate(config *tls.Config, accounts Connections) *tls.Config {
	c := config.Clone()
	c.Certificates = nil
	c.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if !accounts.Handshake(time.Now(), remote(hello.Conn).Addr()) {
			return nil, errHandshakes
		}
		signed(hello.Conn)
		return certificate(config, hello)
	}
	return c
}

// certificate picks the certificate for hello as crypto/tls does.
func certificate(config *tls.Config, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if config.GetCertificate != nil && (len(config.Certificates) == 0 || hello.ServerName != "") {
		if cert, err := config.GetCertificate(hello); cert != nil || err != nil {
			return cert, err
		}
	}
	for i := range config.Certificates {
		if hello.SupportsCertificate(&config.Certificates[i]) == nil {
			return &config.Certificates[i], nil
		}
	}
	if len(config.Certificates) == 0 {
		return nil, nil // crypto/tls says what is missing
	}
	return &config.Certificates[0], nil
}
