package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"
)

const memoryURL = "https://ca.example"

// memoryCA is a CA that an order reaches without a socket, so that tests of it
// run on fake time. It believes every signature and connects to nobody: a
// challenge ends as verdict has it.
type memoryCA struct {
	t       *testing.T
	mux     *http.ServeMux
	key     *ecdsa.PrivateKey
	offers  []string // kinds of challenges
	verdict func(kind string) (status, detail string)
	refuse  map[string]string // path to the detail of a refusal

	mu        sync.Mutex      // guards what follows
	requests  []string        // paths
	accounts  map[string]bool // keys that asked for one
	orders    []*memoryOrder
	accepted  []string // kinds of challenges
	withdrawn int
}

// memoryOrder is an order and its one authorization.
type memoryOrder struct {
	order, authorization string // status
	kind, detail         string // of the challenge that was accepted
	chain                []byte
}

// message is a request without its signature.
type message struct {
	account string // the key, in a request for an account
	payload struct{ CSR, Status string }
	order   int
	kind    string
}

func newMemoryCA(t *testing.T, offers ...string) *memoryCA {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	ca := &memoryCA{t: t, mux: http.NewServeMux(), key: key, offers: offers, accounts: map[string]bool{},
		verdict: func(string) (string, string) { return "valid", "" }}
	for pattern, answer := range map[string]func(w http.ResponseWriter, m message){
		"/directory":            ca.directory,
		"/nonce":                func(w http.ResponseWriter, m message) {},
		"/account":              ca.account,
		"/order":                ca.newOrder,
		"/order/{n}":            func(w http.ResponseWriter, m message) { ca.sayOrder(w, http.StatusOK, m.order) },
		"/authz/{n}":            ca.authorization,
		"/challenge/{n}/{kind}": ca.challenge,
		"/finalize/{n}":         ca.finalize,
		"/certificate/{n}":      func(w http.ResponseWriter, m message) { w.Write(ca.orders[m.order].chain) },
	} {
		ca.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			ca.mu.Lock()
			defer ca.mu.Unlock()
			ca.requests = append(ca.requests, r.URL.Path)
			w.Header().Set("Replay-Nonce", fmt.Sprint(len(ca.requests)))
			if detail := ca.refuse[r.URL.Path]; detail != "" {
				ca.say(w, http.StatusForbidden, problem{Type: "urn:ietf:params:acme:error:unauthorized", Status: http.StatusForbidden, Detail: detail})
				return
			}
			answer(w, decodeMessage(t, r))
		})
	}
	return ca
}

// RoundTrip implements http.RoundTripper.
func (ca *memoryCA) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	ca.mux.ServeHTTP(w, r)
	return w.Result(), nil
}

// decodeMessage reads a JWS in JSON (RFC 8555 §6.2).
func decodeMessage(t *testing.T, r *http.Request) (m message) {
	m.order, _ = strconv.Atoi(r.PathValue("n"))
	m.kind = r.PathValue("kind")
	if r.Method != http.MethodPost {
		return m
	}
	var signed struct{ Protected, Payload []byte }
	var text struct{ Protected, Payload string }
	must(t, json.NewDecoder(r.Body).Decode(&text))
	signed.Protected, _ = base64.RawURLEncoding.DecodeString(text.Protected)
	signed.Payload, _ = base64.RawURLEncoding.DecodeString(text.Payload)
	var header struct{ JWK json.RawMessage }
	must(t, json.Unmarshal(signed.Protected, &header))
	m.account = string(header.JWK)
	if len(signed.Payload) > 0 {
		must(t, json.Unmarshal(signed.Payload, &m.payload))
	}
	return m
}

func (ca *memoryCA) say(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Retry-After", "3600") // for what is pending
	w.WriteHeader(status)
	must(ca.t, json.NewEncoder(w).Encode(value))
}

func (ca *memoryCA) directory(w http.ResponseWriter, _ message) {
	ca.say(w, http.StatusOK, map[string]string{"newNonce": memoryURL + "/nonce", "newAccount": memoryURL + "/account", "newOrder": memoryURL + "/order"})
}

func (ca *memoryCA) account(w http.ResponseWriter, m message) {
	ca.accounts[m.account] = true
	w.Header().Set("Location", memoryURL+"/account/1")
	ca.say(w, http.StatusCreated, map[string]string{"status": "valid"})
}

func (ca *memoryCA) newOrder(w http.ResponseWriter, _ message) {
	ca.orders = append(ca.orders, &memoryOrder{order: "pending", authorization: "pending"})
	ca.sayOrder(w, http.StatusCreated, len(ca.orders)-1)
}

func (ca *memoryCA) sayOrder(w http.ResponseWriter, status, n int) {
	of := func(what string) string { return fmt.Sprintf("%s/%s/%d", memoryURL, what, n) }
	w.Header().Set("Location", of("order"))
	ca.say(w, status, map[string]any{"status": ca.orders[n].order, "authorizations": []string{of("authz")},
		"finalize": of("finalize"), "certificate": of("certificate")})
}

func (ca *memoryCA) authorization(w http.ResponseWriter, m message) {
	o := ca.orders[m.order]
	if m.payload.Status == "deactivated" {
		o.authorization = "deactivated"
		ca.withdrawn++
	}
	var challenges []map[string]any
	for _, kind := range ca.offers {
		c := map[string]any{"type": kind, "url": fmt.Sprintf("%s/challenge/%d/%s", memoryURL, m.order, kind), "token": fmt.Sprintf("token%d", m.order)}
		if kind == o.kind && o.detail != "" {
			c["error"] = problem{Type: "urn:ietf:params:acme:error:connection", Status: http.StatusBadRequest, Detail: o.detail}
		}
		challenges = append(challenges, c)
	}
	ca.say(w, http.StatusOK, map[string]any{"status": o.authorization, "challenges": challenges, "identifier": map[string]string{"type": "dns", "value": testHost}})
}

func (ca *memoryCA) challenge(w http.ResponseWriter, m message) {
	o := ca.orders[m.order]
	ca.accepted = append(ca.accepted, m.kind)
	o.kind = m.kind
	o.authorization, o.detail = ca.verdict(m.kind)
	if o.order = o.authorization; o.order == "valid" {
		o.order = "ready"
	}
	ca.say(w, http.StatusOK, map[string]string{"type": m.kind, "status": "processing"})
}

func (ca *memoryCA) finalize(w http.ResponseWriter, m message) {
	der, err := base64.RawURLEncoding.DecodeString(m.payload.CSR)
	must(ca.t, err)
	request, err := x509.ParseCertificateRequest(der)
	must(ca.t, err)
	leaf := &x509.Certificate{DNSNames: request.DNSNames, SerialNumber: serial(), NotBefore: time.Now(), NotAfter: time.Now().Add(life)}
	der, err = x509.CreateCertificate(rand.Reader, leaf, leaf, request.PublicKey, ca.key)
	must(ca.t, err)
	o := ca.orders[m.order]
	o.order, o.chain = "valid", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	ca.sayOrder(w, http.StatusOK, m.order)
}

// asked is how many requests there were.
func (ca *memoryCA) asked() int {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	return len(ca.requests)
}
