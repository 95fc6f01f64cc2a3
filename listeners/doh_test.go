package listeners

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"domainpark/query"
)

func TestDoHAnswersOverEveryVersion(t *testing.T) {
	seen := make(chan query.Query, 1)
	cfg := webConfig()
	cfg.DoH = []string{"127.0.0.1:0"}
	s := start(t, cfg, resolverFunc(func(dst []byte, q *query.Query) []byte {
		out := cacheable(dst, q)
		arrived := *q
		arrived.Message = bytes.Clone(q.Message)
		seen <- arrived
		return out
	}))
	for _, version := range webVersions {
		for _, method := range []string{"GET", "POST", "HEAD"} {
			t.Run(version+" "+method, func(t *testing.T) {
				req := request(t, method, s.getURL(t, plainQuery), nil)
				if method == "POST" {
					req = request(t, method, s.dohURL(t, dohPath), bytes.NewReader(plainQuery), "Content-Type", "application/dns-message")
				}
				res, body := do(t, webClient(t, version), req)
				q := <-seen
				want := answerTo(plainQuery)
				if method == "HEAD" {
					want = nil
				}
				if res.StatusCode != 200 || res.Proto != version || !bytes.Equal(body, want) {
					t.Fatalf("got %s %s %q, want %s 200 %q", res.Proto, res.Status, body, version, want)
				}
				expectHeaders(t, res, map[string]string{
					"Content-Type":                "application/dns-message",
					"Content-Length":              strconv.Itoa(len(plainQuery)),
					"Cache-Control":               "max-age=300",
					"Access-Control-Allow-Origin": "*",
					"Strict-Transport-Security":   "",
					"X-Content-Type-Options":      "nosniff",
					"Alt-Svc":                     altSvcOf(t, s, version),
				})
				transport := query.DoH
				if version == "HTTP/3.0" {
					transport = query.DoH3
				}
				if q.Transport != transport || !loopback(q.Client) || q.Received.IsZero() || !bytes.Equal(q.Message, plainQuery) {
					t.Errorf("query arrived as %v from %v at %v: %x", q.Transport, q.Client, q.Received, q.Message)
				}
			})
		}
	}
}

// altSvc is what an answer over version says about HTTP/3: nothing, when the
// client is there already.
func altSvcOf(t *testing.T, s *running, version string) string {
	t.Helper()
	if version == "HTTP/3.0" {
		return ""
	}
	_, port, _ := strings.Cut(s.addrOf(t, "doh3"), ":")
	return `h3=":` + port + `"; ma=86400`
}

func expectHeaders(t *testing.T, res *http.Response, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if got := res.Header.Get(name); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
}

func TestDoHTellsBrowsersThatScriptsMayAsk(t *testing.T) {
	cfg := webConfig()
	cfg.DoH = []string{"127.0.0.1:0"}
	s := start(t, cfg, cacheable)
	for _, version := range webVersions {
		t.Run(version, func(t *testing.T) {
			res, body := do(t, webClient(t, version), request(t, "OPTIONS", s.dohURL(t, dohPath), nil,
				"Origin", "https://example.org", "Access-Control-Request-Method", "POST"))
			if res.StatusCode != 204 || len(body) != 0 {
				t.Errorf("got %s %q, want 204 without a body", res.Status, body)
			}
			expectHeaders(t, res, map[string]string{
				"Access-Control-Allow-Origin":  "*",
				"Access-Control-Allow-Methods": "GET, HEAD, POST, OPTIONS",
				"Access-Control-Allow-Headers": "Content-Type, Accept",
				"Access-Control-Max-Age":       "86400",
				"Allow":                        "GET, HEAD, POST, OPTIONS",
			})
		})
	}
}

// TestDoHErrors holds the DoH row of the design's table of bad queries.
func TestDoHErrors(t *testing.T) {
	// Compared with Verdict's meaning: the second byte of the ID picks what
	// the resolver does.
	resolve := resolverFunc(func(dst []byte, q *query.Query) []byte {
		switch {
		case len(q.Message) < 12:
			q.Verdict = query.Silent
		case q.Message[1] == 1:
			q.Verdict = query.Dropped
		case q.Message[1] == 2:
			panic("a query that can't be")
		case q.Message[1] == 3:
			dst = cacheable(dst, q)
			q.MaxAge = 0
		default:
			return cacheable(dst, q)
		}
		return dst
	})
	withID := func(id byte) []byte {
		m := bytes.Clone(plainQuery)
		m[1] = id
		return m
	}
	const dns = "application/dns-message"
	cases := []struct {
		name   string
		method string
		target string
		kind   string // of the body
		body   []byte
		status int
		reason string // part of the body
		header map[string]string
	}{
		{name: "unknown path", target: "/resolve", status: 404, reason: "/dns-query"},
		{name: "path below", target: dohPath + "/", status: 404, reason: "/dns-query"},
		{name: "other method", method: "PUT", target: dohPath, kind: dns, body: plainQuery, status: 405, reason: "GET or POST",
			header: map[string]string{"Allow": "GET, HEAD, POST, OPTIONS"}},
		{name: "no media type", method: "POST", target: dohPath, body: plainQuery, status: 415, reason: dns},
		{name: "wrong media type", method: "POST", target: dohPath, kind: "application/dns-json", body: plainQuery, status: 415, reason: dns},
		{name: "media type with parameter", method: "POST", target: dohPath, kind: "Application/DNS-Message; v=1", body: plainQuery, status: 200},
		{name: "body too large", method: "POST", target: dohPath, kind: dns, body: make([]byte, 65536), status: 413, reason: "65535"},
		{name: "body as large as may be", method: "POST", target: dohPath, kind: dns, body: make([]byte, 65535), status: 200},
		{name: "no parameter", target: dohPath, status: 400, reason: "parameter dns is missing"},
		{name: "another parameter", target: dohPath + "?name=example.com", status: 400, reason: "parameter dns is missing"},
		{name: "empty parameter", target: dohPath + "?dns=", status: 400, reason: "not a DNS query"},
		{name: "padding", target: dohPath + "?dns=AAAA=", status: 400, reason: "base64url"},
		{name: "plain base64", target: dohPath + "?dns=AA+/", status: 400, reason: "base64url"},
		{name: "spare bits", target: dohPath + "?dns=AB", status: 400, reason: "base64url"},
		{name: "line end", target: dohPath + "?dns=AAAA%0A", status: 400, reason: "base64url"},
		{name: "undecodable", target: dohPath + "?dns=AAAA", status: 400, reason: "not a DNS query"},
		{name: "empty body", method: "POST", target: dohPath, kind: dns, status: 400, reason: "not a DNS query"},
		{name: "dropped", method: "POST", target: dohPath, kind: dns, body: withID(1), status: 429, reason: "too many"},
		{name: "panic", method: "POST", target: dohPath, kind: dns, body: withID(2), status: 500, reason: "logged"},
		{name: "not to be kept", method: "POST", target: dohPath, kind: dns, body: withID(3), status: 200,
			header: map[string]string{"Cache-Control": "no-store"}},
	}
	cfg := webConfig()
	cfg.DoH = []string{"127.0.0.1:0"}
	s := start(t, cfg, resolve)
	for _, version := range webVersions {
		client := webClient(t, version)
		for _, c := range cases {
			t.Run(version+" "+c.name, func(t *testing.T) {
				if c.method == "" {
					c.method = "GET"
				}
				req := request(t, c.method, s.dohURL(t, c.target), bytes.NewReader(c.body))
				if c.kind != "" {
					req.Header.Set("Content-Type", c.kind)
				}
				res, body := do(t, client, req)
				if res.StatusCode != c.status || !strings.Contains(string(body), c.reason) {
					t.Fatalf("got %s %q, want %d with %q", res.Status, body, c.status, c.reason)
				}
				expectHeaders(t, res, c.header)
				if c.status != 200 {
					expectHeaders(t, res, map[string]string{
						"Content-Type":           "text/plain; charset=utf-8",
						"Cache-Control":          "no-store",
						"X-Content-Type-Options": "nosniff",
					})
				}
			})
		}
	}
}

// A body without Content-Length is measured as it arrives.
func TestDoHEndlessBodyIs413(t *testing.T) {
	cfg := webConfig()
	cfg.DoH = []string{"127.0.0.1:0"}
	s := start(t, cfg, cacheable)
	for _, version := range webVersions {
		t.Run(version, func(t *testing.T) {
			endless := io.MultiReader(bytes.NewReader(make([]byte, 70000)), bytes.NewReader(nil))
			res, body := do(t, webClient(t, version), request(t, "POST", s.dohURL(t, dohPath), endless, "Content-Type", "application/dns-message"))
			if res.StatusCode != 413 || !strings.Contains(string(body), "65535") {
				t.Errorf("got %s %q, want 413", res.Status, body)
			}
		})
	}
}

func TestDoHHeaderAboveLimitIs431(t *testing.T) {
	cfg := webConfig()
	cfg.DoH = []string{"127.0.0.1:0"}
	s := start(t, cfg, cacheable)
	for _, version := range webVersions {
		t.Run(version, func(t *testing.T) {
			req := request(t, "GET", s.getURL(t, plainQuery), nil, "X-Long", strings.Repeat("a", maxHeaderBytes+8<<10))
			res, err := webClient(t, version).Do(req)
			if err != nil {
				return // a client may also see the connection go before it has sent everything
			}
			res.Body.Close()
			if res.StatusCode != 431 {
				t.Errorf("got %s, want 431", res.Status)
			}
		})
	}
}

func TestLargeMessagesAreBoundedTogether(t *testing.T) {
	before := largeMessages.Load()
	held := make([]*exchange, 0, maxLarge)
	defer func() {
		for _, x := range held {
			x.release()
		}
		if n := largeMessages.Load(); n != before {
			t.Errorf("%d large messages after all were released, want %d", n, before)
		}
	}()
	for range maxLarge - int(before) {
		x := borrowExchange()
		if !x.mayHold(keptBytes+1) || !x.mayHold(keptBytes+2) {
			t.Fatalf("refused at %d of %d", len(held), maxLarge)
		}
		held = append(held, x)
	}
	x := borrowExchange()
	if x.mayHold(keptBytes + 1) {
		t.Error("one more than the limit was let in")
	}
	if !x.mayHold(keptBytes) {
		t.Error("a small message was refused")
	}
	x.release()
}
