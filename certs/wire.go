package certs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"golang.org/x/crypto/acme"
)

// maxAnswerBytes bounds what a CA may send in one answer. A chain has some 5 KB.
const maxAnswerBytes = 1 << 18

var (
	// errNotOffered is when a CA offers no challenge that can be answered.
	errNotOffered = errors.New("the CA offers no challenge that this server can answer")

	// errAllTried ends an order whose last kind of challenge has failed.
	errAllTried = errors.New("no kind of challenge is left to try")
)

// wire is the way to the CA for one order, underneath autocert's client. It
//
//   - sends nothing after the order is over;
//   - shows the Manager those challenges alone that this server listens for,
//     because the Manager tries tls-alpn-01 always;
//   - remembers why a challenge failed: the Manager goes on to the next kind with
//     a new order and says in the end that there is none left;
//   - stops it before it makes one more order, only to find that out.
type wire struct {
	ctx   context.Context // of the order
	way   http.RoundTripper
	kinds []string // of challenges that can be answered

	mu       sync.Mutex      // guards what follows
	orderURL string          // where new orders go; empty while it is not known
	orders   int             // that the CA has accepted
	failure  error           // the last one, but for those of making an order
	reasons  []error         // why the orders before the present one failed
	pending  map[string]bool // URLs of authorizations that are open
}

// ordersAt tells where new orders go.
func (w *wire) ordersAt(address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if u, err := url.Parse(address); err == nil {
		w.orderURL = u.String()
	}
}

// RoundTrip implements http.RoundTripper.
func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	address := req.URL.String()
	if err := w.admit(address); err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	ctx, cancel := context.WithCancel(req.Context())
	defer cancel()
	defer context.AfterFunc(w.ctx, cancel)()
	res, err := w.way.RoundTrip(req.WithContext(ctx))
	if err == nil {
		err = w.receive(address, res)
	}
	if err != nil {
		w.failed(address, fmt.Errorf("%s: %w", address, err))
		return nil, err
	}
	return res, nil
}

// admit tells why a request may not be sent; nil when it may. A new order means
// that the one before has failed.
func (w *wire) admit(address string) error {
	if w.ctx.Err() != nil {
		return errOver
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if address != w.orderURL {
		return nil
	}
	if w.failure != nil {
		w.reasons = append(w.reasons, w.failure)
		w.failure = nil
	}
	if w.orders >= len(w.kinds) {
		return errAllTried
	}
	return nil
}

// failed remembers a failure. That of making an order need not be: the Manager
// returns it.
func (w *wire) failed(address string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if address != w.orderURL {
		w.failure = err
	}
}

// receive reads the answer, learns from it, and leaves in res what the Manager is to see.
func (w *wire) receive(address string, res *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswerBytes+1))
	res.Body.Close()
	if err != nil {
		return err
	}
	if len(body) > maxAnswerBytes {
		return fmt.Errorf("the CA's answer has more than %d bytes", maxAnswerBytes)
	}
	if res.StatusCode >= http.StatusBadRequest {
		if err := problemOf(res, body); !badNonce(err) {
			w.failed(address, err)
		}
	} else if body, err = w.learn(address, res.StatusCode, body); err != nil {
		return err
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	res.ContentLength = int64(len(body))
	return nil
}

// learn takes from the CA's answer to a request what will have to be known. It
// returns the answer, without the challenges that can't be answered.
func (w *wire) learn(address string, status int, body []byte) ([]byte, error) {
	var o object
	if json.Unmarshal(body, &o) != nil {
		return body, nil // a certificate
	}
	if err := o.failure(address); err != nil {
		w.failed(address, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if address == w.orderURL && status == http.StatusCreated {
		w.orders++
	}
	if o.Challenges == nil {
		return body, nil
	}
	w.pending[address] = o.Status == acme.StatusPending
	if !w.pending[address] {
		return body, nil
	}
	return w.answerable(body, o.Challenges)
}

// answerable removes from an authorization (RFC 8555 §7.1.4) the challenges that
// can't be answered.
func (w *wire) answerable(body []byte, challenges []object) ([]byte, error) {
	var fields map[string]json.RawMessage
	var raw, kept []json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(fields["challenges"], &raw); err != nil || len(raw) != len(challenges) {
		return nil, errors.New("the CA's authorization has no list of challenges")
	}
	var offered []string
	for i, c := range challenges {
		offered = append(offered, c.Type)
		if slices.Contains(w.kinds, c.Type) {
			kept = append(kept, raw[i])
		}
	}
	if len(kept) == 0 {
		return nil, fmt.Errorf("%w (%s), only %s", errNotOffered, strings.Join(w.kinds, ", "), strings.Join(offered, ", "))
	}
	text, err := json.Marshal(kept)
	if err != nil {
		return nil, err
	}
	fields["challenges"] = text
	return json.Marshal(fields)
}

// explain returns why the order failed, given what the Manager says about it.
func (w *wire) explain(err error) []error {
	w.mu.Lock()
	defer w.mu.Unlock()
	reasons := slices.Clone(w.reasons)
	if errors.Is(err, errAllTried) && len(reasons) > 0 {
		return reasons
	}
	return append(reasons, err)
}

// open returns the authorizations that the CA holds open.
func (w *wire) open() (addresses []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for address, pending := range w.pending {
		if pending {
			addresses = append(addresses, address)
		}
	}
	return addresses
}
