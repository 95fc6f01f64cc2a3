package listeners

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"domainpark/query"
)

// http1Unserved are requests that net/http answers by itself, or not at all, and for
// comparison some that a handler answers.
var http1Unserved = map[string]struct {
	request string
	status  string // of the answer; empty: none
	charged int32
}{
	"nothing":               {"", "", 0},
	"a query":               {http1Query, "200", 0},
	"the page":              {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "404", 1},
	"no HTTP":               {"query\r\n\r\n", "400", 1},
	"no host":               {"GET / HTTP/1.1\r\n\r\n", "400", 1},
	"two lengths":           {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "400", 1},
	"another version":       {"GET / HTTP/3.0\r\nHost: a\r\n\r\n", "505", 1},
	"a coding that is not":  {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: odd\r\n\r\n", "501", 1},
	"an odd expectation":    {"GET / HTTP/1.1\r\nHost: a\r\nExpect: all\r\n\r\n", "417", 1},
	"a header that goes on": {"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 2*maxHeaderBytes) + "\r\n\r\n", "431", 1},
	"half a header":         {"GET / HTTP/1.1\r\nHo", "400", 1},
	"half a line":           {"GET /", "400", 1},
}

var http1Query = "GET " + getPath(plainQuery) + " HTTP/1.1\r\nHost: localhost\r\n\r\n"

// net/http refuses some requests before a handler sees them, and forgets those that
// break off. They are charged, once, wherever on a connection they come, and requests
// that are answered are not charged twice.
func TestHTTP1RequestsThatNoHandlerSeesAreCharged(t *testing.T) {
	const noQuery = "POST " + dohPath + " HTTP/1.1\r\nHost: a\r\nContent-Type: application/dns-message\r\nContent-Length: 2\r\n\r\nno"
	for where, before := range map[string]struct {
		request  string
		answered bool // before the next one is sent
		charged  int32
	}{
		"first":                  {"", false, 0},
		"with a query":           {http1Query, false, 0},
		"behind its answer":      {http1Query, true, 0},
		"behind a bad message":   {noQuery, true, 1},
		"behind a line end":      {noQuery + "\r\n", true, 1}, // of old clients (RFC 9112 §2.2)
		"with a line end before": {noQuery + "\r\n", false, 1},
	} {
		for name, c := range http1Unserved {
			t.Run(where+": "+name, func(t *testing.T) {
				account, accounts := new(limit), newLedger()
				cfg := webConfig()
				cfg.DoH, cfg.Requests, cfg.Connections = []string{"127.0.0.1:0"}, account.admits, accounts
				s := start(t, cfg, h3Resolver)
				conn := dialTLS(t, s.addrOf(t, "doh"), "http/1.1")
				from := bufio.NewReader(conn)
				write(t, conn, []byte(before.request))
				if before.answered {
					expectHTTP1Answer(t, from)
				}
				write(t, conn, []byte(c.request))
				if err := conn.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				if before.request != "" && !before.answered {
					expectHTTP1Answer(t, from)
				}
				if said, _ := io.ReadAll(from); !strings.HasPrefix(strings.TrimPrefix(string(said), "HTTP/1.1 "), c.status) || (len(said) == 0) != (c.status == "") {
					t.Errorf("got %.60q, want %s", said, c.status)
				}
				conn.Close()
				settled(t, "open connections", 0, accounts.open)
				want := before.charged + c.charged
				settled(t, "charges that are missing", 0, func() int { return int(want - account.asked.Load()) })
				s.stop(t)
				if n := account.asked.Load(); n != want {
					t.Errorf("charged %d times, want %d", n, want)
				}
			})
		}
	}
}

func expectHTTP1Answer(t *testing.T, from *bufio.Reader) {
	t.Helper()
	res, err := http.ReadResponse(from, nil)
	if err == nil {
		_, err = io.Copy(io.Discard, res.Body)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// The account is asked where nothing recovers.
func TestAPanicOverARequestThatNoHandlerSeesCostsItsConnectionOnly(t *testing.T) {
	cfg := webConfig()
	cfg.HTTP, cfg.HTTPHandler = []string{"127.0.0.1:0"}, http.NotFoundHandler()
	cfg.Requests = func(time.Time, netip.AddrPort, query.Transport) bool { panic("of an account") }
	s := start(t, cfg, cacheable)
	conn := dial(t, "tcp", s.addrOf(t, "http"))
	write(t, conn, []byte("query\r\n\r\n"))
	expectClosed(t, conn)
	awaitFault(t, s)
}

// Half a request over HTTP/1.1 is charged when its client ends it, and not when we do.
func TestHTTP1RequestsThatAreLostByUsAreNotCharged(t *testing.T) {
	for name, c := range map[string]struct {
		end     func(client net.Conn, l *ledger, stop func())
		charged int32
	}{
		"left by the client": {func(client net.Conn, _ *ledger, _ func()) { client.Close() }, 1},
		"makes room":         {func(_ net.Conn, l *ledger, _ func()) { l.accounts()[0].evict() }, 0},
		"drain":              {func(_ net.Conn, _ *ledger, stop func()) { stop() }, 0},
	} {
		for where, before := range map[string]string{"first": "", "behind another": "GET / HTTP/1.1\r\nHost: a\r\n\r\n"} {
			t.Run(name+", "+where, func(t *testing.T) {
				http1Bubble(t, func(t *testing.T, client net.Conn, account *limit, accounts *ledger, stop func()) {
					ask := bufio.NewReader(client)
					if before != "" {
						write(t, client, []byte(before))
						expectHTTP1Answer(t, ask)
					}
					write(t, client, []byte("GET / HTTP/1.1\r\nHo"))
					synctest.Wait()
					answer := make(chan struct{})
					go func() { // a pipe has no room for what net/http says at last
						defer close(answer)
						_, _ = io.Copy(io.Discard, client)
					}()
					c.end(client, accounts, stop)
					<-answer
					synctest.Wait()
					if n := account.asked.Load(); n != c.charged {
						t.Errorf("charged %d times, want %d", n, c.charged)
					}
				})
			})
		}
	}
}

// A request that begins just before its connection would be closed as idle has all the
// time of a request, and is charged when it takes longer.
func TestHTTP1RequestsThatBeginLateHaveTheirTime(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	http1Bubble(t, func(t *testing.T, client net.Conn, account *limit, accounts *ledger, _ func()) {
		from := bufio.NewReader(client)
		accounts.idle = time.Second
		for range 3 {
			write(t, client, []byte(get[:7]))
			time.Sleep(2 * time.Second)
			write(t, client, []byte(get[7:]))
			expectHTTP1Answer(t, from)
			time.Sleep(time.Second - 1)
		}
		if n := account.asked.Load(); n != 0 {
			t.Errorf("charged %d times", n)
		}
		begin := time.Now()
		write(t, client, []byte(get[:7]))
		_, _ = io.Copy(io.Discard, from)
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("ended after %v, want 3 s", took)
		}
		synctest.Wait()
		if n := account.asked.Load(); n != 1 {
			t.Errorf("charged %d times, want once", n)
		}
	})
}

// http1Bubble runs test on a connection to a server of net/http, whose pages are none
// and cost nothing, in a synctest bubble.
func http1Bubble(t *testing.T, test func(t *testing.T, client net.Conn, account *limit, accounts *ledger, stop func())) {
	synctest.Test(t, func(t *testing.T) {
		account, accounts, socket := new(limit), newLedger(), newPipes()
		cfg := &Config{Log: slog.New(slog.DiscardHandler), Requests: account.admits, Connections: accounts,
			Timeouts: Timeouts{Shutdown: time.Second}.withDefaults(), faults: new(faults)}
		served := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			touch(w, r)
			http.NotFound(w, r)
		})
		l := &httpListener{accountedSocket{socket, accounts, cfg}, newHTTPServer(cfg, served), cfg}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.serve(ctx) }()
		test(t, socket.dial(), account, accounts, stop)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
