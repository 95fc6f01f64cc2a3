package audit

import (
	"crypto/tls"
	"crypto/x509"
)

// tlsConfig encrypts whatever the certificate is, as resolvers do that only
// take what is offered (RFC 9539 §4.6.3.4), and notes what a client that
// verifies would have said.
func (c *client) tlsConfig(e endpoint, protocols ...string) *tls.Config {
	host := c.tlsName
	if host == "" {
		host = e.host()
	}
	return &tls.Config{
		ServerName:         host,
		NextProtos:         protocols,
		InsecureSkipVerify: true, // VerifyConnection does it, and goes on
		VerifyConnection: func(s tls.ConnectionState) error {
			err := c.verify(host, s)
			c.mu.Lock()
			defer c.mu.Unlock()
			c.certificates[e] = err
			return nil
		},
	}
}

func (c *client) verify(host string, s tls.ConnectionState) error {
	options := x509.VerifyOptions{DNSName: host, Roots: c.roots, Intermediates: x509.NewCertPool()}
	for _, intermediate := range s.PeerCertificates[1:] {
		options.Intermediates.AddCert(intermediate)
	}
	_, err := s.PeerCertificates[0].Verify(options)
	return err
}

// certificate is what is wrong with the certificate of e. known tells whether
// one was seen.
func (c *client) certificate(e endpoint) (err error, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	err, known = c.certificates[e]
	return err, known
}
