package listeners

import (
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// What a client is told whose request holds no DNS message.
var (
	errNoParameter = &httpError{http.StatusBadRequest, "the parameter dns is missing: ask for " + dohPath + "?dns=<a DNS message in base64url> (RFC 8484 §4.1)"}
	errMethod      = &httpError{http.StatusMethodNotAllowed, "DNS queries come by GET or POST (RFC 8484 §4.1)"}
	errRequests    = &httpError{http.StatusTooManyRequests, "too many requests from your address"}
	errBase64      = &httpError{http.StatusBadRequest, "the parameter dns is not base64url without padding (RFC 8484 §6)"}
	errMediaType   = &httpError{http.StatusUnsupportedMediaType, "the body of a POST must be application/dns-message, without content encoding (RFC 8484 §4.1)"}
	errTooLarge    = &httpError{http.StatusRequestEntityTooLarge, "a DNS message has at most 65535 bytes"}
	errSlow        = &httpError{http.StatusRequestTimeout, "the body took too long to arrive"}
	errOverload    = &httpError{http.StatusServiceUnavailable, "too many large messages at once; try again"}
	errHeader      = &httpError{http.StatusRequestHeaderFieldsTooLarge, "the header of the request is too long"}
	errBody        = &httpError{http.StatusBadRequest, "the body broke off"}
)

// dohMessage returns the DNS message that r carries. It lies in x's inbox.
func dohMessage(r *http.Request, x *exchange) ([]byte, *httpError) {
	if r.Method == http.MethodPost {
		return postMessage(r, x)
	}
	return getMessage(r.URL.RawQuery, x)
}

// getMessage decodes the message in the query of a URL. There is one spelling
// of each message, so that caches keep each answer once: no padding, and
// nothing in the bits that the last character has to spare.
func getMessage(rawQuery string, x *exchange) ([]byte, *httpError) {
	text, found := parameter(rawQuery, "dns")
	if !found {
		return nil, errNoParameter
	}
	coding := base64.RawURLEncoding.Strict()
	if coding.DecodedLen(len(text)) > maxMessageBytes {
		return nil, errTooLarge
	}
	x.out = append(x.out[:0], text...) // not in use yet; saves an allocation
	var err error
	x.message, err = coding.AppendDecode(x.message[:0], x.out)
	if err != nil || strings.ContainsAny(text, "\r\n") { // which the decoder skips
		return nil, errBase64
	}
	return x.message, nil
}

// parameter returns the first value of name in the query of a URL. Unlike
// url.ParseQuery it builds no map, and a mistake in another value is none here.
func parameter(rawQuery, name string) (value string, found bool) {
	for rest := rawQuery; rest != ""; {
		var pair string
		pair, rest, _ = strings.Cut(rest, "&")
		key, value, _ := strings.Cut(pair, "=")
		if key != name {
			continue
		}
		if strings.Contains(value, "%") { // never needed, always legal
			if plain, err := url.PathUnescape(value); err == nil {
				value = plain
			}
		}
		return value, true
	}
	return "", false
}

// postMessage reads the body of r as it arrives. The server's deadline for the
// whole request ends a slow one.
func postMessage(r *http.Request, x *exchange) ([]byte, *httpError) {
	switch {
	case !isDNSMessage(r.Header):
		return nil, errMediaType
	case r.ContentLength > maxMessageBytes:
		return nil, errTooLarge
	}
	body := x.message[:0]
	for {
		if len(body) == cap(body) { // grows with what has arrived, not with what is promised
			body = append(body, 0)[:len(body)]
		}
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		x.message = body
		switch {
		case len(body) > maxMessageBytes:
			return nil, errTooLarge
		case !x.mayHold(len(body)):
			return nil, errOverload
		case err == io.EOF:
			return body, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, errSlow
		case err != nil:
			return nil, errBody
		}
	}
}

// isDNSMessage tells whether header announces a DNS message in the body.
func isDNSMessage(header http.Header) bool {
	return carriesMessage(header.Get("Content-Type"), header.Get("Content-Encoding"))
}

// carriesMessage tells whether a body of this type and coding is a DNS message.
func carriesMessage(given, coding string) bool {
	if coding != "" && !strings.EqualFold(coding, "identity") {
		return false
	}
	if given == dnsMessage[0] {
		return true
	}
	// Parameters mean nothing here, and parsing 4 KB of them takes half a
	// millisecond.
	kind, _, _ := strings.Cut(given, ";")
	return strings.EqualFold(strings.TrimSpace(kind), dnsMessage[0])
}
