package certs

import (
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"net/http"
	"slices"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

const (
	// requestTimeout bounds one request to the CA. The whole order is bounded
	// by autocert, to 5 minutes.
	requestTimeout = 30 * time.Second

	// quickRetries is how often a request is repeated within an attempt, after
	// a nonce that the CA no longer knows (RFC 8555 §6.5) or a fault of its own.
	quickRetries = 4

	// withdrawTimeout bounds telling the CA that an authorization is no
	// longer wanted.
	withdrawTimeout = 10 * time.Second

	// managerRenewal is how long before the certificate's end the timer of
	// the Manager that ordered it goes off. By then it has long been renewed
	// by another Manager, and the timer finds nothing to do (see orderCache).
	managerRenewal = time.Second
)

// order is one attempt at a certificate: an [autocert.Manager] that knows one
// host, orders once and is let go. What surrounds the Manager makes up for what
// it does not do by itself: the wire tells why the CA says no and ends with the
// order, the cache has it order although there is a certificate, and puts the
// answers to challenges where every server of the fleet finds them.
type order struct {
	host    string
	manager *autocert.Manager
	wire    *wire
	cache   *orderCache
	end     func() // nothing is sent or stored from then on
}

// orderFromCA gets a certificate for host from the CA of the settings. Each
// attempt begins anew, with the directory and the account: a CA that moved or
// lost its accounts is no reason to restart the server.
func (s *Source) orderFromCA(ctx context.Context, set *settings, host string) (*issued, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: set.roots, MinVersion: tls.VersionTLS12}
	defer transport.CloseIdleConnections()
	key, err := s.accountKey(ctx)
	if err != nil {
		return nil, err
	}
	return s.newOrder(ctx, transport, key, set, host).run()
}

// newOrder prepares an order that reaches the CA by way. The caller runs it,
// once. It ends with ctx.
func (s *Source) newOrder(ctx context.Context, way http.RoundTripper, account crypto.Signer, set *settings, host string) *order {
	ctx, cancel := context.WithCancel(ctx)
	o := &order{
		host:  host,
		wire:  &wire{ctx: ctx, way: way, kinds: set.kinds, pending: map[string]bool{}},
		cache: &orderCache{ctx: ctx, host: host, answers: &s.answers, up: map[string]bool{}},
	}
	o.end = func() {
		cancel()
		o.cache.close()
	}
	o.manager = &autocert.Manager{
		Prompt:      autocert.AcceptTOS,
		HostPolicy:  autocert.HostWhitelist(host),
		Cache:       o.cache,
		Email:       set.email,
		RenewBefore: managerRenewal,
		Client: &acme.Client{
			Key:          account,
			HTTPClient:   &http.Client{Transport: o.wire, Timeout: requestTimeout},
			DirectoryURL: set.directory,
			UserAgent:    "domain-park",
			RetryBackoff: quickRetry,
		},
	}
	if slices.Contains(set.kinds, kindHTTP) {
		o.manager.HTTPHandler(nil) // has the Manager try http-01; answers.ServeHTTP answers
	}
	return o
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

// run has the Manager order. An error tells what the CA said, as an *orderError.
func (o *order) run() (*issued, error) {
	defer o.end()
	directory := o.manager.Client.DirectoryURL
	cert, err := o.ask()
	if err != nil {
		o.withdraw()
		return nil, &orderError{directory, o.wire.explain(err)}
	}
	return &issued{cert: cert, directory: directory}, nil
}

// ask calls the Manager. The directory is fetched beforehand, and the Manager's
// client remembers it, because the wire has to know where new orders go.
//
// A Manager can't be told to stop. When the order is cut short it is left
// behind, in one of the pauses between its questions, none of which reaches
// the CA any more; it gives up with the next of them, or after its 5 minutes.
func (o *order) ask() (*tls.Certificate, error) {
	directory, err := o.manager.Client.Discover(o.wire.ctx)
	if err != nil {
		return nil, err
	}
	o.wire.ordersAt(directory.OrderURL)
	var cert *tls.Certificate
	done := make(chan error, 1)
	go func() {
		made, err := safely(func() (*tls.Certificate, error) { return o.manager.GetCertificate(o.hello()) })
		cert = made
		done <- err
	}()
	select {
	case err := <-done:
		return cert, err
	case <-o.wire.ctx.Done():
		return nil, context.Cause(o.wire.ctx)
	}
}

// hello asks for a certificate as a client does that takes ECDSA keys: for
// others the Manager would order one with an RSA key.
func (o *order) hello() *tls.ClientHelloInfo {
	return &tls.ClientHelloInfo{
		ServerName:       o.host,
		CipherSuites:     suites,
		SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256},
		SupportedCurves:  []tls.CurveID{tls.CurveP256},
	}
}

// withdraw ends the authorizations that a failed order leaves open: CAs limit
// how many of them an account may have. The Manager does so too, but in
// goroutines that nobody can wait for.
func (o *order) withdraw() {
	ctx, cancel := context.WithTimeout(o.wire.ctx, withdrawTimeout)
	defer cancel()
	for _, url := range o.wire.open() {
		o.manager.Client.RevokeAuthorization(ctx, url)
	}
}

// errOver is what a Manager is told whose order is over.
var errOver = errors.New("the order is over")
