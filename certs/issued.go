package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// issued is a certificate that a CA issued to us by ACME.
type issued struct {
	cert      *tls.Certificate
	directory string // of the CA; empty when the store does not tell
}

// directoryHeader is the PEM header in front of the key that says which CA the
// certificate is from. Without it a server that has been tried with a CA's
// staging directory would serve those certificates until they expire. autocert
// skips headers when it reads the file.
const directoryHeader = "ACME-Directory"

// encode returns the form in which the store holds a certificate: the key and
// then the chain in PEM, which is autocert's.
func (i *issued) encode() ([]byte, error) {
	var block pem.Block
	switch key := i.cert.PrivateKey.(type) {
	case *ecdsa.PrivateKey:
		der, err := x509.MarshalECPrivateKey(key)
		if err != nil {
			return nil, err
		}
		block = pem.Block{Type: "EC PRIVATE KEY", Bytes: der}
	case *rsa.PrivateKey:
		block = pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
	default:
		return nil, fmt.Errorf("a key of type %T can't be stored", key)
	}
	if i.directory != "" {
		block.Headers = map[string]string{directoryHeader: i.directory}
	}
	var out bytes.Buffer
	if err := pem.Encode(&out, &block); err != nil {
		return nil, err
	}
	for _, der := range i.cert.Certificate {
		if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// decodeIssued reads what encode or autocert wrote for host. An expired
// certificate is returned like any other.
func decodeIssued(text []byte, host string) (*issued, error) {
	first, _ := pem.Decode(text)
	if first == nil || !strings.Contains(first.Type, "PRIVATE KEY") {
		return nil, errors.New("does not begin with a key in PEM")
	}
	cert, err := tls.X509KeyPair(text, text)
	if err != nil {
		return nil, err
	}
	if err := cert.Leaf.VerifyHostname(host); err != nil {
		return nil, err
	}
	return &issued{cert: &cert, directory: first.Headers[directoryHeader]}, nil
}
