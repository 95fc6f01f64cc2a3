package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority is a certification authority that lives as long as its test.
type authority struct {
	t    *testing.T
	root *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // the root, PEM
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, file: filepath.Join(t.TempDir(), "ca.pem")}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority of " + t.Name()},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.key = newKey(t)
	a.root = a.sign(template, template, a.key)
	writePEM(t, a.file, "CERTIFICATE", a.root.Raw)
	return a
}

// pool trusts this authority alone.
func (a *authority) pool() *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AddCert(a.root)
	return roots
}

// keyPair is a certificate's files.
type keyPair struct{ certificate, key string }

// issue writes a new certificate of names and its key to files in dir, which
// are replaced in one step each. The serial number tells it from others.
func (a *authority) issue(dir string, serial int64, names ...string) keyPair {
	a.t.Helper()
	key := newKey(a.t)
	leaf := a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(20 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a.root, key)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	pair := keyPair{filepath.Join(dir, names[0]+".pem"), filepath.Join(dir, names[0]+".key")}
	writePEM(a.t, pair.key, "PRIVATE KEY", der)
	writePEM(a.t, pair.certificate, "CERTIFICATE", leaf.Raw)
	return pair
}

func (a *authority) sign(template, parent *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	next := file + ".next"
	if err := os.WriteFile(next, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, file); err != nil {
		t.Fatal(err)
	}
}

// encryptedListen is every encrypted transport on loopback, and nothing else.
const encryptedListen = `listen: {udp: [], tcp: [], dot: ["127.0.0.1:0"], doh: ["127.0.0.1:0"], doq: ["127.0.0.1:0"], admin: []}`

// encryptedSettings writes a settings file for mainJob's name servers with
// certificates from files. more is further settings.
func encryptedSettings(t *testing.T, more string, pairs ...keyPair) (file string) {
	t.Helper()
	var text strings.Builder
	text.WriteString(`
nameservers: [{name: ns1.park.example, addresses: [127.0.0.1]}, {name: ns2.park.example, addresses: [127.0.0.2]}]
parking: {dmarc: {rua: [r@park.example]}}
tls:
  certificates:
`)
	for _, p := range pairs {
		fmt.Fprintf(&text, "    - {certificate: %q, key: %q}\n", p.certificate, p.key)
	}
	text.WriteString(more)
	return write(t, t.TempDir(), "settings.yaml", text.String())
}
