package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"slices"
	"time"
)

// How long a self-signed certificate is valid, and how long before its end a
// new one is made. Some clients refuse more than 398 days.
const (
	selfSignedValidity = 365 * 24 * time.Hour
	selfSignedRenewal  = 30 * 24 * time.Hour
)

// clockSkew is by how much the clock of a client may be behind ours.
const clockSkew = time.Hour

// selfSigned makes a certificate for the server's names that nobody vouches
// for. It encrypts for clients that do not verify, as resolvers that probe
// (RFC 9539) do not. Its key is in memory alone.
func selfSigned(set *settings, now time.Time) (*tls.Certificate, error) {
	names := append(slices.Concat(set.hosts, set.names), "localhost")
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "domain-park, self-signed"},
		DNSNames:              unique(names),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(selfSignedValidity),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		SerialNumber:          serial(),
	}
	for _, addr := range set.addresses {
		template.IPAddresses = append(template.IPAddresses, addr.AsSlice())
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("self-signed certificate: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("self-signed certificate for %q: %w", template.DNSNames, err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("self-signed certificate for %q: %w", template.DNSNames, err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// selfSignedFor returns the certificate in use when it is for the names of set
// too, so that a reload does not change what clients have seen.
func (s *Source) selfSignedFor(set *settings, now time.Time) (*tls.Certificate, error) {
	s.mu.Lock()
	old, own := s.set, s.own
	s.mu.Unlock()
	if own != nil && slices.Equal(old.hosts, set.hosts) && slices.Equal(old.names, set.names) && slices.Equal(old.addresses, set.addresses) {
		return own, nil
	}
	return selfSigned(set, now)
}

// serial is a positive number of 16 bytes at most (RFC 5280 §4.1.2.2).
func serial() *big.Int {
	var raw [16]byte
	rand.Read(raw[:])
	raw[0] = raw[0]&0x7f | 1
	return new(big.Int).SetBytes(raw[:])
}

func unique(names []string) (out []string) {
	for _, name := range names {
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// renewSelfSigned replaces the self-signed certificate before it ends.
func (s *Source) renewSelfSigned(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.own.Leaf.NotAfter.Sub(now) > selfSignedRenewal {
		return
	}
	own, err := selfSigned(s.set, now)
	if err != nil {
		s.log.Error("certificate not renewed", "error", err)
		return
	}
	s.own = own
	s.rebuild()
}

// warnSelfSigned says at start that there is nothing better.
func (s *Source) warnSelfSigned() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.set.hosts) > 0 || len(s.pairs) > 0 {
		return
	}
	s.log.Warn("the certificate is self-signed: clients that verify refuse it; set tls.acme or tls.certificates",
		"names", s.own.Leaf.DNSNames)
}
