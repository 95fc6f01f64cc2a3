// Package certs is the certificate that every TLS listener serves, and the
// keys that the encrypted transports share with the other servers of a fleet.
//
// A certificate comes from one of three sources: from a CA by ACME (RFC 8555),
// from files that something else renews, or from nowhere: self-signed, in
// memory. All end in one table, which a handshake reads without a lock:
//
//	ACME keepers ─┐
//	file watcher ─┼→ table (atomic) → GetCertificate → handshake
//	self-signed ──┘
//
// Start at [New]. [Source.TLS] is what listeners take; [Source.Run] does the
// work in the background: orders, renewals, files that change, ticket keys that
// roll over. A handshake waits for none of it and starts none of it, so that a
// client can neither order a certificate nor write a log line.
//
// # How autocert is used
//
// Certificates are ordered by [autocert.Manager]: account, order, challenges,
// key and certificate are its work, and its names and formats are those of the
// store, so that a directory can be taken over from a program that uses autocert,
// and handed back. WHEN to order is this package's (keeper), because a Manager
// left to itself
//
//   - orders from within a handshake, and an RSA certificate too for any client
//     that comes without ECDSA;
//   - renews by a timer that can neither be stopped nor be made to hold a lock, so
//     that two servers on one store both order;
//   - keeps to itself why the CA said no ("no viable challenge type found");
//   - tries tls-alpn-01 always, and a last order for which no challenge is left;
//   - takes no context, and forgets a certificate that has expired.
//
// So each attempt has a Manager of its own, for one host, called in the background,
// and between it and the world stand a wire to the CA and a cache that are cut
// when the attempt is over (order.go). Three things are done beside it: the
// account's key is made under the store's lock, authorizations that a failed
// order leaves open are withdrawn before the next attempt, and the new
// certificate is stored with the name of its CA.
//
// Two things are weaker than without it. An order that is cut short, because the server
// ends, leaves an open authorization to expire at the CA. And autocert puts the
// host into the common name of what it asks the CA to sign, which has room for 64 characters (RFC 5280 appendix A.1).
// A longer host name is refused as a mistake in the settings.
//
// The package staples no OCSP: the large CAs have given up their responders.
package certs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/crypto/acme"
	"golang.org/x/net/idna"

	"domainpark/store"
)

// Config says where certificates come from. New and Reload copy what they
// keep; the caller's value is never edited. With neither ACME hosts nor files
// there is the self-signed certificate alone.
type Config struct {
	ACME  ACME
	Files []Pair

	// Names and Addresses are what the self-signed certificate is for,
	// besides the ACME hosts and localhost: the name servers. A name that
	// can't stand in a certificate is left out.
	Names     []string
	Addresses []netip.Addr

	// DoH and HTTP are the addresses that the server listens on for DoH and
	// for plain HTTP. An ACME challenge is answered on the one (tls-alpn-01,
	// RFC 8737) or the other (http-01, RFC 8555 §8.3). With neither, the
	// server orders nothing and serves what another one puts in the store.
	DoH, HTTP []string

	Store store.Store  // nil is legal only without ACME hosts
	Keys  *store.Keys  // nil: random ones, which no other server has
	Log   *slog.Logger // nil: slog.Default()
}

// ACME is an account with a certification authority. Who names hosts agrees to
// the CA's terms of service.
type ACME struct {
	Hosts     []string // one certificate each; the first one's is the default
	Email     string   // where the CA may write to; may be empty
	Directory string   // URL; empty: Let's Encrypt
	Roots     string   // PEM file of CAs that Directory's own certificate is verified by; empty: the system's
}

// Pair is a certificate with its key, both PEM files. Certificate begins with
// the server's own and goes on with the intermediates.
type Pair struct{ Certificate, Key string }

// settings is a Config that has been read: names in the form that certificates
// have, files in memory. It is immutable.
type settings struct {
	hosts     []string
	email     string
	directory string
	roots     *x509.CertPool // nil: the system's
	kinds     []string       // of challenges that can be answered, best first
	files     []Pair
	names     []string
	addresses []netip.Addr
}

// read checks cfg and returns all that is wrong with it at once. The file
// pairs are not looked at.
func (cfg *Config) read() (*settings, error) {
	hosts, err := cfg.ACME.hosts()
	roots, rootsErr := cfg.ACME.rootPool()
	err = errors.Join(err, rootsErr)
	if len(cfg.ACME.Hosts) > 0 && cfg.Store == nil {
		err = errors.Join(err, errors.New("tls.acme: certificates have to be kept; set store.directory"))
	}
	s := &settings{
		hosts:     hosts,
		email:     cfg.ACME.Email,
		directory: cfg.ACME.directory(),
		roots:     roots,
		files:     append([]Pair(nil), cfg.Files...),
		addresses: append([]netip.Addr(nil), cfg.Addresses...),
	}
	if len(cfg.DoH) > 0 {
		s.kinds = append(s.kinds, kindTLSALPN)
	}
	if len(cfg.HTTP) > 0 {
		s.kinds = append(s.kinds, kindHTTP)
	}
	for _, name := range cfg.Names {
		if ascii, err := idna.Lookup.ToASCII(strings.TrimSuffix(name, ".")); err == nil {
			s.names = append(s.names, ascii)
		}
	}
	return s, err
}

// directory is the URL of the ACME directory.
func (a ACME) directory() string {
	if a.Directory == "" {
		return acme.LetsEncryptURL
	}
	return a.Directory
}

// hosts returns the ACME hosts as they stand in certificates, without
// repetitions.
func (a ACME) hosts() (hosts []string, err error) {
	var errs []error
	seen := map[string]bool{}
	for _, written := range a.Hosts {
		host, err := asciiHost(written)
		if err != nil {
			errs = append(errs, fmt.Errorf("tls.acme.hosts: %q: %w", written, err))
		} else if !seen[host] {
			seen[host] = true
			hosts = append(hosts, host)
		}
	}
	return hosts, errors.Join(errs...)
}

// maxHostBytes is ub-common-name of RFC 5280, appendix A.1.
const maxHostBytes = 64

// asciiHost is the form of a host name that certificates, handshakes and the
// store have in common.
func asciiHost(written string) (string, error) {
	name := strings.TrimSuffix(written, ".")
	switch {
	case strings.Contains(name, "*"):
		return "", errors.New("a wildcard takes a dns-01 challenge, which this server does not answer; name each host")
	case net.ParseIP(name) != nil:
		return "", errors.New("an address can't be ordered; give the host name")
	case !strings.Contains(name, "."):
		return "", errors.New("no CA certifies a name of one label; give the full host name")
	}
	host, err := idna.Lookup.ToASCII(name)
	if err != nil {
		return "", fmt.Errorf("not a host name: %w", err)
	}
	if len(host) > maxHostBytes {
		return "", fmt.Errorf("longer than the %d characters that a certificate's common name has room for; give a shorter host name", maxHostBytes)
	}
	return host, nil
}

// rootPool reads the CAs that the ACME directory's certificate is verified by.
// Nil stands for the system's.
func (a ACME) rootPool() (*x509.CertPool, error) {
	if a.Roots == "" {
		return nil, nil
	}
	text, err := os.ReadFile(a.Roots)
	if err != nil {
		return nil, fmt.Errorf("tls.acme.roots: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("tls.acme.roots: %s: no certificate in it; expected a PEM file", a.Roots)
	}
	return pool, nil
}
