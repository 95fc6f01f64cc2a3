package listeners

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"domainpark/query"
)

// TestHTTPRequestsWithoutAQueryAreCharged: the resolver charges queries, and sees
// nothing else. A request is charged once, and a query not here.
func TestHTTPRequestsWithoutAQueryAreCharged(t *testing.T) {
	cases := []struct {
		name, method, target, kind string
		body                       []byte
		status                     int
		free                       bool
	}{
		{name: "page", target: "/", status: 200},
		{name: "no page", target: "/nothing", status: 404},
		{name: "method", method: "PUT", target: dohPath, status: 405},
		{name: "options", method: "OPTIONS", target: dohPath, status: 204},
		{name: "media type", method: "POST", target: dohPath, kind: "text/plain", body: plainQuery, status: 415},
		{name: "too large", method: "POST", target: dohPath, kind: dnsMessage[0], body: make([]byte, 65536), status: 413},
		{name: "no parameter", target: dohPath, status: 400},
		{name: "no base64", target: dohPath + "?dns=AA+/", status: 400},
		{name: "no query", target: dohPath + "?dns=AAAA", status: 400},
		{name: "no query by POST", method: "POST", target: dohPath, kind: dnsMessage[0], body: []byte("no"), status: 400},
		{name: "query", method: "POST", target: dohPath, kind: dnsMessage[0], body: plainQuery, status: 200, free: true},
	}
	resolve := resolverFunc(func(dst []byte, q *query.Query) []byte {
		out := mirror(dst, q)
		q.Verdict = query.Answered
		if len(out) == len(dst) {
			q.Verdict = query.Silent
		}
		return out
	})
	for _, version := range webVersions {
		t.Run(version, func(t *testing.T) {
			var asked atomic.Int32
			var limited atomic.Bool
			cfg := webConfig()
			cfg.DoH = []string{"127.0.0.1:0"}
			cfg.Page = NewPage(samplePage)
			cfg.Requests = func(now time.Time, client netip.AddrPort, transport query.Transport) bool {
				if !loopback(client) || time.Since(now) > time.Minute || (transport == query.DoH3) != (version == "HTTP/3.0") {
					t.Errorf("asked for %v over %v at %v", client, transport, now)
				}
				asked.Add(1)
				return !limited.Load()
			}
			s := start(t, cfg, resolve)
			client := webClient(t, version)
			for _, c := range cases {
				if c.method == "" {
					c.method = "GET"
				}
				for _, over := range []bool{false, true} {
					asked.Store(0)
					limited.Store(over)
					req := request(t, c.method, s.dohURL(t, c.target), bytes.NewReader(c.body))
					if c.kind != "" {
						req.Header.Set("Content-Type", c.kind)
					}
					want, charges := c.status, int32(1)
					if c.free {
						charges = 0
					} else if over {
						want = http.StatusTooManyRequests
					}
					if res, _ := do(t, client, req); res.StatusCode != want || asked.Load() != charges {
						t.Errorf("%s, over the limit %t: got %s, charged %d times; want %d, %d times", c.name, over, res.Status, asked.Load(), want, charges)
					}
				}
			}
		})
	}
}

// TestRequestsThatNetHTTPWouldAnswerAreCharged: OPTIONS * is for the server and not
// for a handler, and ACME's port has a handler of its own. Both are charged, and
// end with the connection's last request.
func TestRequestsThatNetHTTPWouldAnswerAreCharged(t *testing.T) {
	var asked atomic.Int32
	var limited atomic.Bool
	accounts := newLedger()
	accounts.queries = 2
	cfg := webConfig()
	cfg.Connections = accounts
	cfg.DoH, cfg.HTTP = []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}
	cfg.HTTPHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path) })
	cfg.Requests = func(time.Time, netip.AddrPort, query.Transport) bool {
		asked.Add(1)
		return !limited.Load()
	}
	s := start(t, cfg, mirror)
	for _, c := range []struct {
		transport, request string
		status             int
		secure             bool
	}{
		{"doh", "OPTIONS * HTTP/1.1", 404, true},
		{"http", "OPTIONS * HTTP/1.1", 200, false},
		{"http", "GET /a HTTP/1.1", 200, false},
	} {
		conn := dial(t, "tcp", s.addrOf(t, c.transport))
		if c.secure {
			conn = tls.Client(conn, clientTLS("http/1.1"))
		}
		from := bufio.NewReader(conn)
		for i, want := range []int{c.status, http.StatusTooManyRequests} {
			asked.Store(0)
			limited.Store(i > 0)
			write(t, conn, []byte(c.request+"\r\nHost: park.example\r\n\r\n"))
			res, err := http.ReadResponse(from, nil)
			if err != nil {
				t.Fatalf("%s, %s: %v", c.transport, c.request, err)
			}
			if _, err := io.Copy(io.Discard, res.Body); err != nil {
				t.Error(err)
			}
			if last := i == 1; res.StatusCode != want || asked.Load() != 1 || res.Close != last {
				t.Errorf("%s, %s, number %d: %s, charged %d times, the last one %t; want %d, once, %t",
					c.transport, c.request, i+1, res.Status, asked.Load(), res.Close, want, last)
			}
		}
	}
}
