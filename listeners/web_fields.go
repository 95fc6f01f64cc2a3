package listeners

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http2/hpack"
)

// webKind is what becomes of a request over HTTP/2. Over HTTP/3 it tells requests from
// what is none; in whichever way they carry a message, they go to dohHandler.
type webKind uint8

const (
	webOther     webKind = iota // goes to dohHandler
	webPost                     // carries a DNS message in its body
	webGet                      // carries one in its path, or tries to
	webMalformed                // is an error of its stream (RFC 9113 §8.1.1, RFC 9114 §4.1.2)
	webTooLong                  // has a header above maxHeaderBytes
	webTrailer                  // is no request: fields alone
)

// webRequest is what a header block says, as far as a query needs it.
type webRequest struct {
	kind     webKind
	head     bool   // the method was HEAD
	expects  bool   // 100-continue (RFC 9110 §10.1.1)
	length   int    // of the body; -1: not said
	rawQuery string // of the path, for webGet
}

// webFields is a header of HTTP/2 or HTTP/3 that is being decoded. They have the same
// rules, and differ in what must name the host: see namesHost.
type webFields struct {
	fields  []hpack.HeaderField
	size    int            // as SETTINGS_MAX_HEADER_LIST_SIZE counts
	decoder *hpack.Decoder // nil over HTTP/3

	method, scheme, path, authority string
	pseudo                          uint8 // which of them there are
	regular                         bool  // a field that is none of them has come
	bad                             bool  // malformed (RFC 9113 §8.1.1)
	long                            bool  // above maxHeaderBytes
}

// Bits of webFields.pseudo.
const (
	webMethod = 1 << iota
	webScheme
	webPath
	webAuthority
)

// reset makes l ready for the next header, and lets go of the strings.
func (l *webFields) reset() {
	clear(l.fields)
	*l = webFields{fields: l.fields[:0]}
}

// add takes a field. It is HPACK's emit function.
func (l *webFields) add(f hpack.HeaderField) {
	l.size += int(f.Size())
	if l.size > maxHeaderBytes {
		l.long = true
		if l.decoder != nil {
			l.decoder.SetEmitEnabled(false) // the rest is for the table alone
		}
		return
	}
	if strings.HasPrefix(f.Name, ":") {
		l.addPseudo(f)
		return
	}
	l.regular = true
	if !validField(f) {
		l.bad = true
		return
	}
	l.fields = append(l.fields, f)
}

func (l *webFields) addPseudo(f hpack.HeaderField) {
	var bit uint8
	var value *string
	switch f.Name {
	case ":method":
		bit, value = webMethod, &l.method
	case ":scheme":
		bit, value = webScheme, &l.scheme
	case ":path":
		bit, value = webPath, &l.path
	case ":authority":
		bit, value = webAuthority, &l.authority
	}
	if value == nil || l.regular || l.pseudo&bit != 0 || !httpguts.ValidHeaderFieldValue(f.Value) {
		l.bad = true
		return
	}
	l.pseudo |= bit
	*value = f.Value
}

// validField tells whether a field may be in a request (RFC 9113 §8.2).
func validField(f hpack.HeaderField) bool {
	if !lowerToken(f.Name) || !httpguts.ValidHeaderFieldValue(f.Value) {
		return false
	}
	switch f.Name { // §8.2.2
	case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
		return false
	case "te":
		return f.Value == "trailers"
	}
	return true
}

// lowerToken tells whether name is a token without capitals.
func lowerToken(name string) bool {
	for i := range len(name) {
		if b := name[i]; b >= 0x80 || !httpguts.IsTokenRune(rune(b)) || b >= 'A' && b <= 'Z' {
			return false
		}
	}
	return name != ""
}

// request is what the header asks for.
func (l *webFields) request() (r webRequest) {
	r.length = -1
	switch {
	case l.long:
		r.kind = webTooLong
		return r
	case l.bad:
		r.kind = webMalformed
		return r
	case l.pseudo == 0:
		r.kind = webTrailer
		return r
	case !l.complete(), !l.length(&r.length):
		r.kind = webMalformed
		return r
	}
	r.head = l.method == http.MethodHead
	r.expects = strings.EqualFold(l.get("expect"), "100-continue")
	rawQuery, isQuery := isQueryPath(l.path)
	switch {
	case !isQuery:
	case l.method == http.MethodPost && carriesMessage(l.get("content-type"), l.get("content-encoding")):
		r.kind = webPost
	case l.method == http.MethodGet || r.head:
		r.kind, r.rawQuery = webGet, rawQuery
	}
	return r
}

// complete tells whether the pseudo-header fields are those of a request
// (RFC 9113 §8.3.1).
func (l *webFields) complete() bool {
	if l.method == http.MethodConnect {
		return l.pseudo == webMethod|webAuthority // §8.5
	}
	const needed = webMethod | webScheme | webPath
	return l.pseudo&needed == needed && l.method != "" &&
		(strings.EqualFold(l.scheme, "https") || strings.EqualFold(l.scheme, "http")) && // RFC 9110 §4.2.3
		(strings.HasPrefix(l.path, "/") || l.path == "*" && l.method == http.MethodOptions)
}

// length reads content-length into n. It returns false when there are two that
// differ, or one that is no number.
func (l *webFields) length(n *int) bool {
	text := ""
	for i := range l.fields {
		if f := &l.fields[i]; f.Name == "content-length" {
			if text != "" && f.Value != text {
				return false
			}
			length, err := strconv.ParseUint(f.Value, 10, 63)
			if err != nil {
				return false
			}
			text, *n = f.Value, int(min(length, 1<<30))
		}
	}
	return true
}

// get is the value of the first field of that name.
func (l *webFields) get(name string) string {
	for i := range l.fields {
		if l.fields[i].Name == name {
			return l.fields[i].Value
		}
	}
	return ""
}

// namesHost tells whether the header says which host is asked, once, as HTTP/3 wants it
// (RFC 9114 §4.3.1).
func (l *webFields) namesHost() bool {
	host, n := l.authority, 0
	for i := range l.fields {
		if l.fields[i].Name != "host" {
			continue
		}
		if n++; n > 1 || l.pseudo&webAuthority != 0 && l.fields[i].Value != l.authority {
			return false
		}
		host = l.fields[i].Value
	}
	return host != "" && !strings.Contains(host, "@")
}

// httpRequest is the header as net/http has it.
func (l *webFields) httpRequest(version int, client string) (*http.Request, error) {
	r := &http.Request{
		Method: l.method, Proto: "HTTP/" + strconv.Itoa(version) + ".0", ProtoMajor: version, RequestURI: l.path,
		Header: make(http.Header, len(l.fields)), Body: http.NoBody, Host: l.authority, RemoteAddr: client,
	}
	for _, f := range l.fields {
		r.Header.Add(f.Name, f.Value)
	}
	if r.Host == "" {
		r.Host = r.Header.Get("Host")
	}
	r.Header.Del("Host")
	if l.method == http.MethodConnect {
		r.URL, r.RequestURI = &url.URL{Host: l.authority}, l.authority
		return r, nil
	}
	var err error
	r.URL, err = url.ParseRequestURI(l.path)
	return r, err
}

// isQueryPath tells whether path is dohPath, and what stands behind its question
// mark. Other spellings of it are left to net/url.
func isQueryPath(path string) (rawQuery string, ok bool) {
	rest, ok := strings.CutPrefix(path, dohPath)
	if !ok || rest == "" {
		return "", ok
	}
	rawQuery, ok = strings.CutPrefix(rest, "?")
	// A fragment or a space is none of a URL; net/url says what it makes of it.
	return rawQuery, ok && !strings.ContainsAny(rawQuery, "# ")
}
