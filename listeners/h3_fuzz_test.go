package listeners

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/quic-go/qpack"
	"golang.org/x/net/http/httpguts"
)

// FuzzH3Request: in what plainMessage takes, the whole of it, package qpack sees
// a correct request, and dohMessage the same message.
func FuzzH3Request(f *testing.F) {
	for _, c := range h3Cases() {
		if len(c.stream) <= packetBytes {
			f.Add(c.stream)
		}
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		if len(stream) > packetBytes {
			return
		}
		given := bytes.Clone(stream)
		message := plainMessage(stream, &exchange{})
		if !bytes.Equal(stream, given) {
			t.Fatal("the stream was changed")
		}
		if message == nil {
			return
		}
		section, rest, ok := h3Frame(stream, h3Headers)
		if !ok {
			t.Fatal("no header")
		}
		var body []byte
		if len(rest) > 0 {
			if body, rest, ok = h3Frame(rest, h3Data); !ok || len(rest) > 0 {
				t.Fatal("something behind the body")
			}
		}
		r := requestOf(t, section)
		if r.Method == "GET" && body != nil || r.URL.Path != dohPath {
			t.Fatalf("%s %s with %d bytes", r.Method, r.URL, len(body))
		}
		r.ContentLength, r.Body = int64(len(body)), io.NopCloser(bytes.NewReader(body))
		want, failure := dohMessage(r, &exchange{})
		if failure != nil || !bytes.Equal(message, want) {
			t.Fatalf("got %x, want %x, %+v", message, want, failure)
		}
	})
}

// requestOf reads section with package qpack and holds it to RFC 9114 §4.
func requestOf(t *testing.T, section []byte) *http.Request {
	t.Helper()
	pseudo, header, size := map[string]string{}, http.Header{}, 0
	next := qpack.NewDecoder().Decode(section)
	for line, err := next(); err != io.EOF; line, err = next() {
		if err != nil {
			t.Fatal(err)
		}
		size += len(line.Name) + len(line.Value) + 32
		name, isPseudo := strings.CutPrefix(line.Name, ":")
		if !httpguts.ValidHeaderFieldName(name) || strings.ToLower(name) != name || !httpguts.ValidHeaderFieldValue(line.Value) {
			t.Fatalf("%q: %q", line.Name, line.Value)
		}
		if _, twice := pseudo[name]; isPseudo && (twice || len(header) > 0) {
			t.Fatalf("%s twice, or behind others", line.Name)
		}
		if isPseudo {
			pseudo[name] = line.Value
		} else {
			header.Add(name, line.Value)
		}
	}
	target, err := url.ParseRequestURI(pseudo["path"])
	if err != nil || size > maxHeaderBytes || len(pseudo) != 4 || pseudo["scheme"] != "https" || pseudo["authority"] == "" {
		t.Fatalf("%v, %v, %d bytes", pseudo, err, size)
	}
	return &http.Request{Method: pseudo["method"], URL: target, Header: header}
}
