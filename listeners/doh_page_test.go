package listeners

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

var samplePage = PageData{
	Host: "ns1.park.example",
	NameServers: []PageNameServer{
		{"ns1.park.example", []string{"192.0.2.1", "2001:db8::1"}},
		{"ns2.park.example", nil},
	},
	Records: []PageRecord{
		{"any name", "TXT", `"v=spf1 -all"`, "No server may send mail in this domain's name."},
		{"<script>", "CAA", "& more", "'"},
	},
	DoH: "https://ns1.park.example/dns-query",
	DoT: "ns1.park.example",
}

func getPage(h http.Handler, method, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestPageSaysWhatItWasGiven(t *testing.T) {
	w := getPage(NewPage(samplePage), "GET", "/")
	html := w.Body.String()
	for _, want := range []string{
		"<h1>ns1.park.example</h1>", "<code>192.0.2.1</code>, <code>2001:db8::1</code>", "ns2.park.example",
		"&#34;v=spf1 -all&#34;", "&lt;script&gt;", "&amp; more", "https://ns1.park.example/dns-query", "DNS over TLS",
	} {
		if !strings.Contains(html, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, never := range []string{"DNS over QUIC", "<script>"} {
		if strings.Contains(html, never) {
			t.Errorf("the page has %q", never)
		}
	}
}

// The page loads nothing: no address in it is one that a browser would fetch.
func TestPageHasNoExternalResources(t *testing.T) {
	html := getPage(NewPage(samplePage), "GET", "/").Body.String()
	for _, reference := range regexp.MustCompile(`(?i)(?:src|href|srcset|action)\s*=\s*"[^"]*"|@import|url\(`).FindAllString(html, -1) {
		if !strings.HasPrefix(reference, `href="data:`) {
			t.Errorf("the page refers to %s", reference)
		}
	}
	if strings.Contains(html, " style=") || regexp.MustCompile(`(?i)\son[a-z]+=`).MatchString(html) {
		t.Error("the page has inline styles or handlers, which its policy forbids")
	}
}

// A browser applies the style sheet only if the policy has its hash.
func TestPagePolicyAllowsItsStyleAndNothingElse(t *testing.T) {
	w := getPage(NewPage(samplePage), "GET", "/")
	style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(w.Body.String())
	if style == nil || !strings.Contains(style[1], "prefers-color-scheme") {
		t.Fatal("the page has no style sheet")
	}
	sum := sha256.Sum256([]byte(style[1]))
	policy := w.Header().Get("Content-Security-Policy")
	if !strings.Contains(policy, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") {
		t.Errorf("policy %q has not the hash of the style sheet", policy)
	}
	for _, want := range []string{"default-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("policy %q lacks %s", policy, want)
		}
	}
}

func TestPageOverHTTP(t *testing.T) {
	h := NewPage(samplePage)
	etag := getPage(h, "GET", "/").Header().Get("Etag")
	for _, c := range []struct {
		method, path string
		header       []string
		status       int
		empty        bool
	}{
		{"GET", "/", nil, 200, false},
		{"GET", "/?q", nil, 200, false},
		{"HEAD", "/", nil, 200, true},
		{"GET", "/", []string{"If-None-Match", etag}, 304, true},
		{"POST", "/", nil, 405, false},
		{"GET", "/favicon.ico", nil, 404, false},
		{"GET", "//", nil, 404, false},
	} {
		w := getPage(h, c.method, c.path, c.header...)
		if w.Code != c.status || (w.Body.Len() == 0) != c.empty {
			t.Errorf("%s %s %v: got %d with %d bytes, want %d", c.method, c.path, c.header, w.Code, w.Body.Len(), c.status)
		}
	}
	if other := getPage(NewPage(PageData{}), "GET", "/").Header().Get("Etag"); etag == "" || other == etag {
		t.Errorf("two pages have the tags %q and %q", etag, other)
	}
}

// The page hangs beside the queries, over every version of HTTP.
func TestDoHServesThePageBesideQueries(t *testing.T) {
	cfg := webConfig()
	cfg.DoH = []string{"127.0.0.1:0"}
	cfg.Page = NewPage(samplePage)
	s := start(t, cfg, cacheable)
	for _, version := range webVersions {
		client := webClient(t, version)
		for path, status := range map[string]int{"/": 200, "/nothing": 404, dohPath: 400} {
			res, _ := do(t, client, request(t, "GET", s.dohURL(t, path), nil))
			if res.StatusCode != status {
				t.Errorf("%s %s: got %s, want %d", version, path, res.Status, status)
			}
			expectHeaders(t, res, map[string]string{
				"Strict-Transport-Security": "", // this port is not HTTPS's own
				"X-Content-Type-Options":    "nosniff",
			})
		}
	}
}

// TestHSTSIsForHTTPSOwnPort: browsers apply it to all ports of a host.
func TestHSTSIsForHTTPSOwnPort(t *testing.T) {
	h := &dohHandler{cfg: &Config{Page: NewPage(samplePage)}}
	for host, want := range map[string]string{
		"ns1.park.example": hsts[0], "ns1.park.example:443": hsts[0], "[2001:db8::1]": hsts[0],
		"ns1.park.example:9443": "", "[2001:db8::1]:9443": "",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = host
		w := httptest.NewRecorder()
		h.servePage(w, r)
		if got := w.Header().Get("Strict-Transport-Security"); got != want || w.Code != http.StatusOK {
			t.Errorf("%s: %d, got %q, want %q", host, w.Code, got, want)
		}
	}
}

// TestPageHasNoParts: a request for a thousand ranges would cost 140 KB.
func TestPageHasNoParts(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Range", "bytes=0-0"+strings.Repeat(",0-0", 1000))
	w := httptest.NewRecorder()
	NewPage(PageData{Host: "ns1.park.example"}).ServeHTTP(w, r)
	if w.Code != http.StatusOK || w.Header().Get("Content-Range") != "" || !strings.Contains(w.Header().Get("Content-Type"), "html") {
		t.Errorf("status %d, %v", w.Code, w.Header())
	}
}
