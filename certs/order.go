package certs

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/crypto/acme"
)

const (
	// requestTimeout bounds one request to the CA.
	requestTimeout = 30 * time.Second

	// quickRetries is how often a request is repeated within an attempt, after
	// a nonce that the CA no longer knows (RFC 8555 §6.5) or a fault of its own.
	quickRetries = 4

	// withdrawTimeout bounds telling the CA that an authorization is no
	// longer wanted.
	withdrawTimeout = 10 * time.Second
)

// errNotOffered is when a CA does not offer a kind of challenge.
var errNotOffered = errors.New("the CA does not offer this challenge")

// order is one attempt at a certificate.
type order struct {
	client  *acme.Client
	host    string
	answers *answers
}

// orderFromCA gets a certificate for host from the CA of the settings. Each
// attempt begins anew, with the directory and the account: a CA that moved or
// lost its accounts is no reason to restart the server.
func (s *Source) orderFromCA(ctx context.Context, set *settings, host string) (*issued, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: set.roots, MinVersion: tls.VersionTLS12}
	defer transport.CloseIdleConnections()
	client := &acme.Client{
		HTTPClient:   &http.Client{Transport: transport, Timeout: requestTimeout},
		DirectoryURL: set.directory,
		UserAgent:    "domain-park",
		RetryBackoff: quickRetry,
	}
	if err := s.account(ctx, client, set.email); err != nil {
		return nil, fmt.Errorf("CA %s: account: %w", set.directory, err)
	}
	o := &order{client, host, &s.answers}
	cert, err := o.run(ctx, set.kinds)
	if err != nil {
		return nil, fmt.Errorf("CA %s: %w", set.directory, err)
	}
	return &issued{cert: cert, directory: set.directory}, nil
}

// quickRetry implements acme.Client.RetryBackoff. Longer pauses are the
// keeper's to make.
func quickRetry(n int, _ *http.Request, res *http.Response) time.Duration {
	if n > quickRetries || res.StatusCode == http.StatusTooManyRequests {
		return 0
	}
	if res.StatusCode == http.StatusBadRequest { // a nonce
		return time.Millisecond
	}
	return time.Duration(n) * time.Second
}

// run tries the kinds of challenges one after the other, with a new order for
// each, since a failed challenge spoils its order (RFC 8555 §7.1.6).
func (o *order) run(ctx context.Context, kinds []string) (*tls.Certificate, error) {
	var errs []error
	for _, kind := range kinds {
		ready, err := o.authorize(ctx, kind)
		if err == nil {
			return o.finalize(ctx, ready)
		}
		errs = append(errs, fmt.Errorf("%s: %w", kind, err))
		var refused *acme.AuthorizationError
		if !errors.As(err, &refused) && !errors.Is(err, errNotOffered) {
			break
		}
	}
	return nil, errors.Join(errs...)
}

// authorize makes an order and proves by one kind of challenge that the host is ours.
func (o *order) authorize(ctx context.Context, kind string) (ready *acme.Order, err error) {
	made, err := o.client.AuthorizeOrder(ctx, acme.DomainIDs(o.host))
	if err != nil {
		return nil, err
	}
	for _, url := range made.AuthzURLs {
		if err := o.prove(ctx, url, kind); err != nil {
			return nil, err
		}
	}
	return o.client.WaitOrder(ctx, made.URI)
}

// prove answers the challenge of an authorization, unless an earlier order has.
func (o *order) prove(ctx context.Context, url, kind string) (err error) {
	authorization, err := o.client.GetAuthorization(ctx, url)
	if err != nil || authorization.Status == acme.StatusValid {
		return err
	}
	defer func() {
		if err != nil {
			o.withdraw(ctx, url)
		}
	}()
	for _, challenge := range authorization.Challenges {
		if challenge.Type != kind {
			continue
		}
		remove, err := o.answer(ctx, challenge)
		if err != nil {
			return err
		}
		defer remove()
		if _, err := o.client.Accept(ctx, challenge); err != nil {
			return err
		}
		_, err = o.client.WaitAuthorization(ctx, url)
		return err
	}
	return errNotOffered
}

// withdraw ends an authorization that is still open: CAs limit how many of
// them an account may have. One that has failed is closed already.
func (o *order) withdraw(ctx context.Context, url string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), withdrawTimeout)
	defer cancel()
	authorization, err := o.client.GetAuthorization(ctx, url)
	if err == nil && authorization.Status == acme.StatusPending {
		o.client.RevokeAuthorization(ctx, url)
	}
}

// answer puts up the answer to a challenge, for the CA to fetch.
func (o *order) answer(ctx context.Context, challenge *acme.Challenge) (remove func(), err error) {
	if challenge.Type == kindHTTP {
		text, err := o.client.HTTP01ChallengeResponse(challenge.Token)
		if err != nil {
			return nil, err
		}
		return o.answers.putToken(ctx, challenge.Token, text), nil
	}
	cert, err := o.client.TLSALPN01ChallengeCert(challenge.Token, o.host)
	if err != nil {
		return nil, err
	}
	return o.answers.putCertificate(ctx, o.host, &cert), nil
}

// finalize has the certificate issued, for a new key.
func (o *order) finalize(ctx context.Context, ready *acme.Order) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{o.host}}, key)
	if err != nil {
		return nil, err
	}
	const withChain = true
	chain, _, err := o.client.CreateCertFromOrder(ctx, ready, request, withChain)
	if err != nil {
		return nil, fmt.Errorf("issue: %w", err)
	}
	return o.check(chain, key)
}

// check refuses a certificate that would not do.
func (o *order) check(chain [][]byte, key *ecdsa.PrivateKey) (*tls.Certificate, error) {
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return nil, fmt.Errorf("the CA's certificate does not parse: %w", err)
	}
	if !key.PublicKey.Equal(leaf.PublicKey) {
		return nil, errors.New("the CA's certificate is for another key")
	}
	if err := leaf.VerifyHostname(o.host); err != nil {
		return nil, fmt.Errorf("the CA's certificate is for another host: %w", err)
	}
	cert := &tls.Certificate{Certificate: chain, PrivateKey: key, Leaf: leaf}
	if err := untimely(cert, time.Now()); err != nil {
		return nil, fmt.Errorf("the CA's certificate can't be used: %w", err)
	}
	return cert, nil
}
