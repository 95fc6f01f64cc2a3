package listeners

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// ledger is Connections for tests. What it allows is set before a server has
// it; what it saw is read by snapshot.
type ledger struct {
	most     int           // connections let in
	queries  int           // for each of them; 0: no limit
	idle     time.Duration // 0: an hour
	age      time.Duration // 0: no limit
	streams  int
	full     int // full handshakes let through
	resumed  int
	unproven int // QUIC handshakes that may begin without a token

	mu     sync.Mutex
	opened []*account
	calls  []string // handshake, resume, newcomer, refused; open; in the order of time
}

// plenty is more than any test uses.
const plenty = 1 << 20

func newLedger() *ledger {
	return &ledger{most: plenty, full: plenty, resumed: plenty, unproven: plenty, idle: time.Hour}
}

// account is a connection in a ledger.
type account struct {
	ledger          *ledger
	addr            netip.Addr
	evict           func()
	touched, closed int
}

func (l *ledger) Open(_ time.Time, addr netip.Addr, evict func()) Connection {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.opened) >= l.most {
		l.calls = append(l.calls, "refused")
		return nil
	}
	l.calls = append(l.calls, "open")
	c := &account{ledger: l, addr: addr, evict: evict}
	l.opened = append(l.opened, c)
	return c
}

func (l *ledger) charge(call string, left *int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, call)
	*left--
	return *left >= 0
}

func (l *ledger) Handshake(time.Time, netip.Addr) bool { return l.charge("handshake", &l.full) }
func (l *ledger) Resume(time.Time, netip.Addr) bool    { return l.charge("resume", &l.resumed) }
func (l *ledger) Newcomer(time.Time, netip.Addr) bool  { return l.charge("newcomer", &l.unproven) }
func (l *ledger) Idle() time.Duration                  { return l.idle }
func (l *ledger) Age() time.Duration                   { return l.age }
func (l *ledger) Streams() int                         { return l.streams }

func (c *account) Touch(time.Time) bool {
	c.ledger.mu.Lock()
	defer c.ledger.mu.Unlock()
	c.touched++
	return c.ledger.queries == 0 || c.touched < c.ledger.queries
}

func (c *account) Close() {
	c.ledger.mu.Lock()
	defer c.ledger.mu.Unlock()
	c.closed++
}

// accounts are copies of the connections that were opened.
func (l *ledger) accounts() []account {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []account
	for _, c := range l.opened {
		out = append(out, *c)
	}
	return out
}

// open is how many connections are.
func (l *ledger) open() (n int) {
	for _, c := range l.accounts() {
		if c.closed == 0 {
			n++
		}
	}
	return n
}

// set changes what the ledger allows while a server has it.
func (l *ledger) set(field *int, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*field = n
}

// take returns what was called since it was last asked.
func (l *ledger) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	calls := l.calls
	l.calls = nil
	return calls
}

func (l *ledger) expect(t *testing.T, when string, want ...string) {
	t.Helper()
	if got := l.take(); !slices.Equal(got, want) {
		t.Errorf("%s: the accounts were asked %q, want %q", when, got, want)
	}
}

// quotaKinds are the ways to keep a connection open, HTTP by version.
var quotaKinds = append([]string{"tcp", "dot", "doq"}, webVersions...)

// eachQuota runs test with a server for every kind that asks what newLedger
// returns after change.
func eachQuota(t *testing.T, change func(*ledger), r Resolver, test func(t *testing.T, l *ledger, s *running, kind string)) {
	t.Helper()
	for _, kind := range quotaKinds {
		t.Run(kind, func(t *testing.T) {
			l := newLedger()
			change(l)
			cfg := webConfig()
			cfg.Connections, cfg.Timeouts.Idle = l, time.Hour
			switch kind {
			case "tcp":
				cfg.TCP = []string{"127.0.0.1:0"}
			case "dot":
				cfg.DoT = []string{"127.0.0.1:0"}
			case "doq":
				cfg.DoQ = []string{"127.0.0.1:0"}
			default:
				cfg.DoH = []string{"127.0.0.1:0"}
			}
			s := start(t, cfg, r)
			test(t, l, s, kind)
			s.stop(t)
			if n := l.open(); n > 0 {
				t.Errorf("%d connections are still open when the server has ended", n)
			}
		})
	}
}

// errGone says that a client's one connection is over.
var errGone = errors.New("the connection is gone")

// once returns dial for its first call and errGone for later ones.
func once[C any](dial func() (C, error)) func() (C, error) {
	done := false
	return func() (c C, err error) {
		if done {
			return c, errGone
		}
		done = true
		return dial()
	}
}

// client returns a function that asks plainQuery over one connection of s,
// which it opens when it is first called, and another that closes it.
func (s *running) client(t *testing.T, kind string) (ask func() error, end func()) {
	t.Helper()
	switch kind {
	case "tcp", "dot":
		return streamClient(t, s.addrOf(t, kind), kind == "dot")
	case "doq":
		return doqClient(s.addrOf(t, kind))
	}
	client := oneConnection(kind)
	url := s.getURL(t, plainQuery)
	return func() error {
		res, err := client.Do(request(t, "GET", url, nil))
		if err != nil {
			return err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		return expectSame(body, answerTo(plainQuery), err)
	}, func() { closeHTTP(client) }
}

func expectSame(got, want []byte, err error) error {
	if err == nil && !bytes.Equal(got, want) {
		return fmt.Errorf("got %x, want %x", got, want)
	}
	return err
}

func streamClient(t *testing.T, addr string, secure bool) (ask func() error, end func()) {
	var c net.Conn
	open := once(func() (net.Conn, error) {
		raw := dial(t, "tcp", addr)
		if secure {
			return tls.Client(raw, clientTLS("dot")), nil
		}
		return raw, nil
	})
	return func() error {
		if c == nil {
			c, _ = open()
		}
		if _, err := c.Write(framed(plainQuery)); err != nil {
			return err
		}
		got, err := readFrame(c)
		return expectSame(got, answerTo(plainQuery), err)
	}, func() { c.Close() }
}

func doqClient(addr string) (ask func() error, end func()) {
	var c *quic.Conn
	open := once(func() (*quic.Conn, error) {
		return quic.DialAddr(context.Background(), addr, clientTLS("doq"), nil)
	})
	return func() (err error) {
		if c == nil {
			if c, err = open(); err != nil {
				return err
			}
		}
		s, err := c.OpenStream()
		if err != nil {
			return err
		}
		if _, err := s.Write(framed(plainQuery)); err != nil {
			return err
		}
		s.Close()
		got, err := io.ReadAll(s)
		return expectSame(got, framed(answerTo(plainQuery)), err)
	}, func() { c.CloseWithError(doqNoError, "") }
}

// oneConnection is a client of one HTTP version that connects once.
func oneConnection(version string) *http.Client {
	if version == "HTTP/3.0" {
		open := once(func() (struct{}, error) { return struct{}{}, nil })
		return &http.Client{Transport: &http3.Transport{
			TLSClientConfig: clientTLS(),
			Dial: func(ctx context.Context, addr string, config *tls.Config, quicConfig *quic.Config) (*quic.Conn, error) {
				if _, err := open(); err != nil {
					return nil, err
				}
				return quic.DialAddrEarly(ctx, addr, config, quicConfig)
			},
		}}
	}
	tr := &http.Transport{Protocols: new(http.Protocols), TLSClientConfig: clientTLS()}
	tr.Protocols.SetHTTP1(version == "HTTP/1.1")
	tr.Protocols.SetHTTP2(version == "HTTP/2.0")
	open := once(func() (struct{}, error) { return struct{}{}, nil })
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if _, err := open(); err != nil {
			return nil, err
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	return &http.Client{Transport: tr}
}

func closeHTTP(c *http.Client) {
	if tr, ok := c.Transport.(*http3.Transport); ok {
		tr.Close()
		return
	}
	c.CloseIdleConnections()
}
