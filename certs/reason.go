package certs

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode"

	"golang.org/x/crypto/acme"
)

// maxReasonBytes is how much of one reason a CA gives gets into the log.
const maxReasonBytes = 1000

// orderError is why an order failed. Its text is fit for a log, whatever the CA
// has sent: one line, printable, bounded. The errors it wraps are acme's.
type orderError struct {
	directory string // of the CA
	reasons   []error
}

func (e *orderError) Error() string {
	texts := make([]string, len(e.reasons))
	for i, err := range e.reasons {
		texts[i] = plain(err.Error())
	}
	return "CA " + e.directory + ": " + strings.Join(texts, "; ")
}

func (e *orderError) Unwrap() []error { return e.reasons }

// plain makes one bounded line of a stranger's text.
func plain(text string) string {
	cut := len(text) > maxReasonBytes
	if cut {
		text = text[:maxReasonBytes]
	}
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if cut {
		text += " …"
	}
	return text
}

// object is what an authorization, a challenge and an order (RFC 8555 §7.1) tell
// of their failure.
type object struct {
	Type       string // challenges only
	Status     string
	Error      *problem // challenges and orders
	Challenges []object // authorizations only; nil in others
}

// failure returns why the object that was at address is invalid; nil when it is not.
func (o *object) failure(address string) error {
	switch {
	case o.Status != acme.StatusInvalid:
		return nil
	case o.Challenges != nil:
		return o.refusal(address)
	case o.Type != "": // a challenge: its authorization will tell
		return nil
	}
	failure := &acme.OrderError{OrderURL: address, Status: o.Status}
	if o.Error != nil {
		failure.Problem = o.Error.error(nil)
	}
	return failure
}

// refusal is why an authorization is invalid, with the kind of challenge that failed.
func (o *object) refusal(address string) error {
	failure := &acme.AuthorizationError{URI: address}
	kind := ""
	for _, c := range o.Challenges {
		if c.Error != nil {
			kind = c.Type + ": "
			failure.Errors = append(failure.Errors, c.Error.error(nil))
		}
	}
	if len(failure.Errors) == 0 {
		failure.Errors = []error{errors.New("the CA does not say why")}
	}
	return fmt.Errorf("%s%w", kind, failure)
}

// problem is a problem document (RFC 7807) as RFC 8555 §6.7 has it.
type problem struct {
	Type        string
	Detail      string
	Status      int
	Subproblems []acme.Subproblem
}

func (p *problem) error(header http.Header) *acme.Error {
	return &acme.Error{StatusCode: p.Status, ProblemType: p.Type, Detail: p.Detail, Subproblems: p.Subproblems, Header: header}
}

// problemOf returns what an answer with a status of failure says.
func problemOf(res *http.Response, body []byte) *acme.Error {
	var p problem
	if json.Unmarshal(body, &p) != nil {
		p = problem{Detail: string(body)}
	}
	p.Status = res.StatusCode
	return p.error(res.Header)
}

// badNonce tells of a failure that acme.Client makes good by itself (RFC 8555 §6.5).
func badNonce(err *acme.Error) bool {
	return strings.HasSuffix(strings.ToLower(err.ProblemType), ":badnonce")
}
