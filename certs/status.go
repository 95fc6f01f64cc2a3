package certs

import (
	"crypto/tls"
	"slices"
	"time"
)

// The sources of a certificate, as metrics label them.
const (
	FromACME       = "acme"
	FromFile       = "file"
	FromSelfSigned = "self-signed"
)

// Status is the state of one certificate, for metrics and the dashboard. The
// values come from the settings and from certificates, not from clients.
type Status struct {
	Name     string    // the ACME host, or the certificate's first name
	Source   string    // FromACME, FromFile, FromSelfSigned
	File     string    // of the certificate, FromFile only
	Default  bool      // what clients get that send no name
	Issuer   string    // empty when there is no certificate yet
	Expires  time.Time // zero when there is no certificate yet: a self-signed one serves
	Renewal  time.Time // when the next order is due, FromACME only
	Failures int       // attempts that failed, since the last that did not
	Issued   int       // certificates that the CA has issued to this process
	Failed   int       // attempts that failed, in all
	Err      error     // why the last one failed, or why the file can't be used; nil when all is well
}

// Status returns the state of every certificate: the ACME hosts, the files and,
// when it is all there is, the self-signed one.
func (s *Source) Status() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	standard := s.table.Load().standard
	var out []Status
	for _, host := range s.set.hosts {
		out = append(out, s.keepers[host].status(standard))
	}
	for _, p := range s.pairs {
		st := describe(p.cert, FromFile, standard)
		st.File, st.Err = p.Certificate, p.err
		out = append(out, st)
	}
	if len(out) == 0 {
		out = append(out, describe(s.own, FromSelfSigned, standard))
	}
	return out
}

func describe(cert *tls.Certificate, source string, standard []*tls.Certificate) Status {
	leaf := cert.Leaf
	name := leaf.Subject.CommonName
	if len(leaf.DNSNames) > 0 {
		name = leaf.DNSNames[0]
	}
	return Status{
		Name:    name,
		Source:  source,
		Default: slices.Contains(standard, cert),
		Issuer:  leaf.Issuer.String(),
		Expires: leaf.NotAfter,
	}
}

// status tells of an ACME host. The caller holds mu.
func (k *keeper) status(standard []*tls.Certificate) Status {
	st := Status{Source: FromACME}
	if k.have != nil {
		st = describe(k.have.cert, FromACME, standard)
	}
	st.Name, st.Renewal, st.Failures, st.Err = k.host, k.renewal, k.failures, k.err
	st.Issued, st.Failed = k.issued, k.failed
	if k.failures > 0 {
		st.Renewal = k.next
	}
	return st
}
