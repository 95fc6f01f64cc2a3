package listeners

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"strings"
	"time"
)

// PageData is what the page for people says. It is text, not HTML; empty
// fields and lists leave their part of the page out.
type PageData struct {
	Host        string           // what this server is called
	NameServers []PageNameServer // to delegate a domain to
	Records     []PageRecord     // what every parked domain answers
	DoH         string           // URL, such as https://ns1.park.example/dns-query
	DoT         string           // host, with :port unless it is 853
	DoQ         string           // as DoT
}

// PageNameServer is a name server, with the addresses that a registrar asks for
// when its name lies in the domain itself.
type PageNameServer struct {
	Name      string
	Addresses []string
}

// PageRecord is one row of the table of answers.
type PageRecord struct {
	Name, Type, Data string
	Meaning          string // what the record does, for people who know no DNS
}

//go:embed doh_page.html
var pageHTML string

var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

// NewPage returns a handler that answers / with a small page for people, and
// every other path with 404. The page is rendered here, once. It loads nothing
// and runs nothing: one file, without scripts, that says so to the browser.
func NewPage(data PageData) http.Handler {
	var text bytes.Buffer
	if err := pageTemplate.Execute(&text, data); err != nil {
		panic("BUG: the page's template does not fit its data: " + err.Error()) // strings and lists can't fail
	}
	sum := sha256.Sum256(text.Bytes())
	return &page{
		html:   text.Bytes(),
		etag:   `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`,
		policy: contentPolicy(text.String()),
	}
}

type page struct {
	html   []byte
	etag   string
	policy string
}

// ServeHTTP implements http.Handler.
func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	switch {
	case r.URL.Path != "/":
		refuse(w, &httpError{http.StatusNotFound, "there is nothing here; see / for what this host is"})
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		header["Allow"] = []string{"GET, HEAD"}
		refuse(w, &httpError{http.StatusMethodNotAllowed, "the page is for reading: GET or HEAD"})
		return
	}
	header["Content-Type"] = []string{"text/html; charset=utf-8"}
	header["Cache-Control"] = []string{"max-age=300"} // settings change seldom, but then at once
	header["Etag"] = []string{p.etag}
	header["Content-Security-Policy"] = []string{p.policy}
	header["Referrer-Policy"] = []string{"no-referrer"}
	// A page of 5 KB needs no parts. A request for a thousand of them is 14 bytes
	// once HPACK knows it, and would cost 5 ms and 140 KB.
	r.Header.Del("Range")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(p.html))
}

// contentPolicy forbids the page everything but its own style sheet, which it
// names by its hash (CSP Level 3 §2.3.1), and its icon.
func contentPolicy(html string) string {
	_, style, _ := strings.Cut(html, "<style>")
	style, _, _ = strings.Cut(style, "</style>")
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
		"style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
