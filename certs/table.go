package certs

import (
	"crypto/ecdsa"
	"crypto/tls"
	"strings"
	"time"
)

// table is which certificates each name has. It is immutable; a handshake
// takes the one of the moment.
type table struct {
	// names has host names in lower case, and wildcards as "*.example". The
	// certificates of a name differ in their keys' kind or their validity.
	names map[string][]*tls.Certificate

	// standard is for clients that send no name (RFC 9539 §4.6.3.1 has
	// resolvers do that) or one we have no certificate for. It is not empty.
	standard []*tls.Certificate
}

// find returns the certificates for the name that a client sent, or the
// standard ones.
func (t *table) find(name string) []*tls.Certificate {
	name = strings.ToLower(name)
	if certs := t.names[name]; certs != nil {
		return certs
	}
	if _, parent, ok := strings.Cut(name, "."); ok { // a wildcard is for one label (RFC 9525 §6.3)
		if certs := t.names["*."+parent]; certs != nil {
			return certs
		}
	}
	return t.standard
}

// add enters cert under its names.
func (t *table) add(cert *tls.Certificate) {
	for _, name := range cert.Leaf.DNSNames {
		name = strings.ToLower(name)
		t.names[name] = append(t.names[name], cert)
	}
}

// pick returns the certificate that suits the client best: one it can verify
// and that is valid now, ECDSA before RSA because its signature costs a tenth,
// and otherwise in the order of the settings.
func pick(hello *tls.ClientHelloInfo, certs []*tls.Certificate) *tls.Certificate {
	if len(certs) == 1 {
		return certs[0]
	}
	// The name has been matched, or is a stranger's; asking for it again
	// would rule out the default certificate.
	nameless := *hello
	nameless.ServerName = ""
	now := time.Now()
	var best *tls.Certificate
	var most int
	for _, cert := range certs {
		score := 1
		if nameless.SupportsCertificate(cert) == nil {
			score += 4
		}
		if !now.Before(cert.Leaf.NotBefore) && !now.After(cert.Leaf.NotAfter) {
			score += 2
		}
		if _, ok := cert.Leaf.PublicKey.(*ecdsa.PublicKey); ok {
			score++
		}
		if score > most {
			best, most = cert, score
		}
	}
	return best
}

// rebuild makes the table from what is in hand. The caller holds mu.
//
// A name that both a file and a CA certify is served from the file. An ACME
// host that has no certificate yet is served the self-signed one, which bears
// its name, rather than another host's.
func (s *Source) rebuild() {
	t := &table{names: map[string][]*tls.Certificate{}}
	for _, p := range s.pairs {
		t.add(p.cert)
	}
	for _, host := range s.set.hosts {
		have := s.keepers[host].have
		switch {
		case t.find(host) != nil:
		case have != nil:
			t.names[host] = []*tls.Certificate{have.cert}
		default:
			t.names[host] = []*tls.Certificate{s.own}
		}
	}
	t.standard = s.standard(t)
	s.table.Store(t)
}

// standard returns the default certificates: those of the first ACME host that
// has one, else those of the first file, else the self-signed one.
func (s *Source) standard(t *table) []*tls.Certificate {
	for _, host := range s.set.hosts {
		if certs := t.find(host); certs[0] != s.own {
			return certs
		}
	}
	if len(s.pairs) == 0 {
		return []*tls.Certificate{s.own}
	}
	first := s.pairs[0].cert
	if names := first.Leaf.DNSNames; len(names) > 0 {
		return t.names[strings.ToLower(names[0])]
	}
	return []*tls.Certificate{first}
}
