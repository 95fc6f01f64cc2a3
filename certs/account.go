package certs

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"domainpark/store"
)

// accountKey is where the store has the account's key, the one that autocert
// uses. One key serves for all CAs: each knows it as another account.
const accountKey = "acme_account+key"

// accountKey returns the account's key and makes it when there is none, under
// the store's lock: two Managers that begin at once would make one each, and
// the account of the first would be lost.
func (s *Source) accountKey(ctx context.Context) (crypto.Signer, error) {
	key, err := s.readAccountKey(ctx)
	if !errors.Is(err, store.ErrNotFound) {
		return key, err
	}
	unlock, err := s.store.Lock(ctx, accountKey)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if key, err = s.readAccountKey(ctx); !errors.Is(err, store.ErrNotFound) {
		return key, err
	}
	made, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(made)
	if err != nil {
		return nil, err
	}
	return made, s.store.Put(ctx, accountKey, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
}

func (s *Source) readAccountKey(ctx context.Context) (crypto.Signer, error) {
	text, err := s.store.Get(ctx, accountKey)
	if err != nil {
		return nil, err
	}
	key, err := parseKey(text)
	if err != nil {
		return nil, fmt.Errorf("key %q in the store: %w; restore it, or delete it to open a new account", accountKey, err)
	}
	return key, nil
}

// parseKey reads a key in any of the forms that programs write.
func parseKey(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("not PEM")
	}
	if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("not a private key")
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T can't sign", key)
	}
	return signer, nil
}
