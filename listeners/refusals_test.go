package listeners

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"golang.org/x/net/http2"

	"domainpark/query"
)

// limit is a client's account for tests: it says no as long as it is spent.
type limit struct {
	spent atomic.Bool
	asked atomic.Int32
}

func (l *limit) admits(time.Time, netip.AddrPort, query.Transport) bool {
	l.asked.Add(1)
	return !l.spent.Load()
}

// Resolve implements Resolver.
func (l *limit) Resolve(dst []byte, q *query.Query) []byte {
	if l.spent.Load() {
		q.Verdict = query.Dropped
		return dst
	}
	return cacheable(dst, q)
}

// A client that is refused once more than it may have in flight, and nothing in
// between was answered, finds its connection ended in order, whatever it asked for.
func TestTooManyRefusalsInARowEndTheConnection(t *testing.T) {
	for _, version := range webVersions {
		for name, target := range map[string]string{"queries": dohPath + "?dns=AAABAAABAAAAAAAAB2V4YW1wbGUDY29tAAAPAAE", "the page": "/"} {
			t.Run(version+"/"+name, func(t *testing.T) {
				accounts, account := newLedger(), new(limit)
				cfg := webConfig()
				cfg.Connections, cfg.Requests, cfg.Page = accounts, account.admits, NewPage(samplePage)
				cfg.DoH = []string{"127.0.0.1:0"}
				s := start(t, cfg, account)
				client := oneConnection(version)
				if version == "HTTP/1.1" {
					conn := dialTLS(t, s.addrOf(t, "doh"), "http/1.1")
					client.Transport = &oneByOne{conn, bufio.NewReader(conn)}
				}
				defer closeHTTP(client)
				url := s.dohURL(t, target)
				ask := func(spent bool) *http.Response {
					account.spent.Store(spent)
					res, _ := do(t, client, request(t, "GET", url, nil))
					if (res.StatusCode == http.StatusTooManyRequests) != spent || (res.Header.Get("Retry-After") == "1") != spent {
						t.Fatalf("spent %t: %s, %v", spent, res.Status, res.Header)
					}
					return res
				}
				for range 2 { // what is answered in between makes them fewer
					ask(false)
					for i := range maxStreams {
						if res := ask(true); res.Close {
							t.Fatalf("closed with refusal %d", i+1)
						}
					}
				}
				if res := ask(true); res.Close != (version == "HTTP/1.1") {
					t.Errorf("the last one says Connection: close: %t", res.Close)
				}
				if res, err := client.Do(request(t, "GET", url, nil)); err == nil {
					t.Errorf("%s over a connection that was to end", res.Status)
					res.Body.Close()
				}
				settled(t, "open connections", 0, accounts.open)
				over := query.DoH
				if version == "HTTP/3.0" {
					over = query.DoH3
				}
				expectDismissed(t, s, over)
			})
		}
	}
}

// expectDismissed expects that s has dismissed one connection, and over which transport.
func expectDismissed(t *testing.T, s *running, over query.Transport) {
	t.Helper()
	for transport := range query.Transports {
		want := uint64(0)
		if transport == over {
			want = 1
		}
		if got := s.Dismissals(transport); got != want {
			t.Errorf("%d connections of %s were dismissed, want %d", got, transport, want)
		}
	}
}

// oneByOne is an http.RoundTripper over one connection of HTTP/1.1. net/http's opens
// another one when its own goroutines get no processor for 50 ms.
type oneByOne struct {
	conn net.Conn
	from *bufio.Reader
}

func (o *oneByOne) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Write(o.conn); err != nil {
		return nil, err
	}
	return http.ReadResponse(o.from, r)
}

// The same over DoQ, where a refusal is a reset.
func TestTooManyRefusalsInARowEndADoQConnection(t *testing.T) {
	account := new(limit)
	s := doqServer(t, account)
	c := dialDoQ(t, s)
	for range 2 {
		account.spent.Store(false)
		expectDoQAnswer(t, c, plainQuery)
		account.spent.Store(true)
		for range maxStreams {
			expectDoQReset(t, c)
		}
	}
	if err := context.Cause(c.Context()); err != nil {
		t.Fatalf("closed too early: %v", err)
	}
	openStream(t, c, framed(plainQuery)).Close()
	expectClosedWith(t, c, doqNoError)
	expectDismissed(t, s, query.DoQ)
}

// expectDoQReset asks and is refused.
func expectDoQReset(t *testing.T, c *quic.Conn) {
	t.Helper()
	stream := openStream(t, c, framed(plainQuery))
	stream.Close()
	_, err := io.ReadAll(stream)
	if reset, ok := errors.AsType[*quic.StreamError](err); !ok || reset.ErrorCode != doqExcessiveLoad {
		t.Fatalf("got %v, want DOQ_EXCESSIVE_LOAD", err)
	}
}

// expectClosedWith waits for the server's goodbye.
func expectClosedWith(t *testing.T, c *quic.Conn, code quic.ApplicationErrorCode) {
	t.Helper()
	select {
	case <-c.Context().Done():
	case <-time.After(patience):
		t.Fatal("the connection lives on")
	}
	if closed, ok := errors.AsType[*quic.ApplicationError](context.Cause(c.Context())); !ok || closed.ErrorCode != code || !closed.Remote {
		t.Errorf("got %v, want code %d", context.Cause(c.Context()), code)
	}
}

// What http3 resets or refuses by itself, so that dohHandler never sees it, is
// charged like any other request without a query, once.
func TestRequestsThatHTTP3RefusesAreCharged(t *testing.T) {
	account := new(limit)
	cfg := webConfig()
	cfg.DoH, cfg.Requests = []string{"127.0.0.1:0"}, account.admits
	s := start(t, cfg, account)
	odd := int32(0)
	for _, c := range h3Cases() {
		if !strings.Contains(c.want, "reset") && !strings.Contains(c.want, "closed") && c.want != "431" {
			continue
		}
		odd++
		askH3(t, s, c.stream)
		settled(t, "uncharged requests: "+c.name, 0, func() int { return int(odd - account.asked.Load()) })
	}
	for _, fine := range [][]byte{h3Get("/"), h3Get(dohPath)} { // are charged once, too
		odd++
		askH3(t, s, fine)
	}
	askH3(t, s, h3Post(plainQuery, "content-encoding", "identity")) // by http3, and charged by the resolver
	s.stop(t)
	if odd < 20 || account.asked.Load() != odd {
		t.Errorf("charged %d times for %d requests", account.asked.Load(), odd)
	}
}

// Who sends nothing but them is refused a connection that goes on for ever as well.
func TestMalformedHTTP3RequestsOverTheLimitEndTheConnection(t *testing.T) {
	account := new(limit)
	account.spent.Store(true)
	cfg := webConfig()
	cfg.DoH, cfg.Requests = []string{"127.0.0.1:0"}, account.admits
	s := start(t, cfg, account)
	c := dialH3(t, s)
	malformed := h3Post(plainQuery, "X-Name", "x")
	for i := range maxStreams + 1 {
		stream := openStream(t, c, malformed)
		stream.Close()
		_, err := io.ReadAll(stream)
		reset, ok := errors.AsType[*quic.StreamError](err)
		if i < maxStreams && (!ok || reset.ErrorCode != quic.StreamErrorCode(http3.ErrCodeMessageError)) {
			t.Fatalf("request %d: %v", i+1, err)
		}
	}
	expectClosedWith(t, c, quic.ApplicationErrorCode(http3.ErrCodeNoError))
}

// perSecond is a resolver whose client may ask so many queries a second.
type perSecond struct {
	rate, left int
	second     int64
}

func (p *perSecond) Resolve(dst []byte, q *query.Query) []byte {
	if now := q.Received.Unix(); now != p.second {
		p.second, p.left = now, p.rate
	}
	if p.left--; p.left < 0 {
		q.Verdict = query.Dropped
		return dst
	}
	return cacheable(dst, q)
}

// A client that fills its streams at once and, when it is refused, waits for as long
// as Retry-After says keeps its connection, however often. One that goes on gets
// GOAWAY behind the first request that it sent too many.
func TestClientsThatWaitAfterARefusalKeepTheirConnection(t *testing.T) {
	account := &perSecond{rate: 1}
	h2Bubble(t, Config{Timeouts: Timeouts{Idle: time.Hour}}, account, func(t *testing.T, _ *h2Server, c *h2Client) {
		id := uint32(1)
		ask := func(n int) {
			first := id
			c.write(func() error {
				for i := range uint32(n) {
					if err := c.open(first+2*i, true, getHeader(getPath(plainQuery))...); err != nil {
						return err
					}
				}
				return nil
			})
		}
		refused := func(n int) {
			t.Helper()
			for range n {
				c.expectStatus(id, "429")
				c.expect(http2.FrameData)
				id += 2
			}
		}
		c.write(func() error { return c.WriteWindowUpdate(0, 1<<30) })
		for range 100 {
			time.Sleep(time.Second)
			ask(1)
			c.expectMessage(id, plainQuery)
			id += 2
			ask(maxStreams)
			refused(maxStreams)
		}
		ask(3)
		refused(1)
		last := id - 2
		f := c.expect(http2.FrameGoAway).(*http2.GoAwayFrame)
		if f.ErrCode != http2.ErrCodeNo || f.LastStreamID != last {
			t.Errorf("got %v, want NO_ERROR behind stream %d", f, last)
		}
		if f := c.next(); f != nil {
			t.Errorf("%v behind GOAWAY", f)
		}
	})
}
