package listeners

import (
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http2/hpack"
)

// h2List is a header that is being decoded.
type h2List struct {
	fields  []hpack.HeaderField
	size    int // as SETTINGS_MAX_HEADER_LIST_SIZE counts
	decoder *hpack.Decoder

	method, scheme, path, authority string
	pseudo                          uint8 // which of them there are
	regular                         bool  // a field that is none of them has come
	bad                             bool  // malformed (RFC 9113 §8.1.1)
	long                            bool  // above maxHeaderBytes
}

// Bits of h2List.pseudo.
const (
	h2Method = 1 << iota
	h2Scheme
	h2Path
	h2Authority
)

// reset makes l ready for the next header, and lets go of the strings.
func (l *h2List) reset() {
	clear(l.fields)
	*l = h2List{fields: l.fields[:0]}
}

// add takes a field. It is the decoder's emit function.
func (l *h2List) add(f hpack.HeaderField) {
	l.size += int(f.Size())
	if l.size > maxHeaderBytes {
		l.long = true
		l.decoder.SetEmitEnabled(false) // the rest is for the table alone
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

func (l *h2List) addPseudo(f hpack.HeaderField) {
	var bit uint8
	var value *string
	switch f.Name {
	case ":method":
		bit, value = h2Method, &l.method
	case ":scheme":
		bit, value = h2Scheme, &l.scheme
	case ":path":
		bit, value = h2Path, &l.path
	case ":authority":
		bit, value = h2Authority, &l.authority
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
func (l *h2List) request() (r h2Request) {
	r.length = -1
	switch {
	case l.long:
		r.kind = h2TooLong
		return r
	case l.bad:
		r.kind = h2Malformed
		return r
	case l.pseudo == 0:
		r.kind = h2Trailer
		return r
	case !l.complete(), !l.length(&r.length):
		r.kind = h2Malformed
		return r
	}
	r.head = l.method == http.MethodHead
	r.expects = strings.EqualFold(l.get("expect"), "100-continue")
	rawQuery, isQuery := isQueryPath(l.path)
	switch {
	case !isQuery:
	case l.method == http.MethodPost && carriesMessage(l.get("content-type"), l.get("content-encoding")):
		r.kind = h2Post
	case l.method == http.MethodGet || r.head:
		r.kind, r.rawQuery = h2Get, rawQuery
	}
	return r
}

// complete tells whether the pseudo-header fields are those of a request
// (RFC 9113 §8.3.1).
func (l *h2List) complete() bool {
	if l.method == http.MethodConnect {
		return l.pseudo == h2Method|h2Authority // §8.5
	}
	const needed = h2Method | h2Scheme | h2Path
	return l.pseudo&needed == needed && l.method != "" &&
		(l.scheme == "https" || l.scheme == "http") &&
		(strings.HasPrefix(l.path, "/") || l.path == "*" && l.method == http.MethodOptions)
}

// length reads content-length into n. It returns false when there are two that
// differ, or one that is no number.
func (l *h2List) length(n *int) bool {
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
func (l *h2List) get(name string) string {
	for i := range l.fields {
		if l.fields[i].Name == name {
			return l.fields[i].Value
		}
	}
	return ""
}
