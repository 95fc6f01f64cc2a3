package listeners

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/quic-go/quic-go"

	"domainpark/query"
)

// watched starts a DoQ server and reports its connections as they become ready
// for streams.
func watched(t *testing.T, r Resolver) (s *running, l *quicListener, conns chan *quic.Conn) {
	t.Helper()
	cfg := webConfig()
	cfg.DoQ = []string{"127.0.0.1:0"}
	set, err := Bind(cfg, r)
	if err != nil {
		t.Fatal(err)
	}
	l = set.sites[0].entries[0].listener.(*quicListener)
	conns = make(chan *quic.Conn, 10)
	open := l.conn
	l.conn = func(c *quic.Conn, refused *refusals) (quicConn, error) {
		conns <- c
		return open(c, refused)
	}
	return serveSet(t, set), l, conns
}

// remembering is a TLS and token store that tells when it has something.
type remembering struct {
	tls.ClientSessionCache
	quic.TokenStore
	ticket, token chan struct{}
}

func newRemembering() *remembering {
	return &remembering{tls.NewLRUClientSessionCache(1), quic.NewLRUTokenStore(1, 1),
		make(chan struct{}, 1), make(chan struct{}, 1)}
}

type sessions struct{ *remembering }

func (s sessions) Put(key string, state *tls.ClientSessionState) {
	s.ClientSessionCache.Put(key, state)
	if state != nil {
		notify(s.ticket)
	}
}

func (s sessions) Get(key string) (*tls.ClientSessionState, bool) {
	return s.ClientSessionCache.Get(key)
}

type tokens struct{ *remembering }

func (s tokens) Put(key string, token *quic.ClientToken) {
	s.TokenStore.Put(key, token)
	notify(s.token)
}

func (s tokens) Pop(key string) *quic.ClientToken { return s.TokenStore.Pop(key) }

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// visit opens a first connection to addr and leaves with a ticket and a token.
func (m *remembering) visit(t *testing.T, addr string) {
	t.Helper()
	c := dialQUIC(t, addr, m.tls(), &quic.Config{TokenStore: tokens{m}})
	expectDoQAnswer(t, c, plainQuery)
	<-m.ticket
	<-m.token
	c.CloseWithError(doqNoError, "")
}

func (m *remembering) tls() *tls.Config {
	c := clientTLS("doq")
	c.ClientSessionCache = sessions{m}
	return c
}

// dialEarly opens a connection that may send before the handshake is complete.
func dialEarly(t *testing.T, addr string, config *tls.Config, quicConfig *quic.Config) *quic.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := quic.DialAddrEarly(ctx, addr, config, quicConfig)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseWithError(doqNoError, "") })
	return c
}

func TestDoQTakesQueriesIn0RTT(t *testing.T) {
	s, _, conns := watched(t, mirror)
	m := newRemembering()
	m.visit(t, s.addrOf(t, "doq"))
	<-conns
	c := dialEarly(t, s.addrOf(t, "doq"), m.tls(), &quic.Config{TokenStore: tokens{m}})
	expectDoQAnswer(t, c, plainQuery)
	if state := c.ConnectionState(); !state.Used0RTT || !state.TLS.DidResume {
		t.Errorf("0-RTT %v, resumed %v; want both", state.Used0RTT, state.TLS.DidResume)
	}
	if !hasToken((<-conns).Context()) {
		t.Error("the token was not seen")
	}
}

// RFC 9250 §4.5: only queries may be replayed. A NOTIFY in 0-RTT waits.
func TestDoQHoldsOtherOpcodesUntilTheHandshakeIsComplete(t *testing.T) {
	var conns chan *quic.Conn
	complete := make(chan bool, 2)
	s, _, conns := watched(t, resolverFunc(func(dst []byte, q *query.Query) []byte {
		if opcode(q.Message) != 0 {
			select {
			case <-(<-conns).HandshakeComplete():
				complete <- true
			default:
				complete <- false
			}
		}
		return mirror(dst, q)
	}))
	m := newRemembering()
	m.visit(t, s.addrOf(t, "doq"))
	<-conns
	c := dialEarly(t, s.addrOf(t, "doq"), m.tls(), &quic.Config{TokenStore: tokens{m}})
	notifyMessage := bytes.Clone(plainQuery)
	notifyMessage[2] = 4 << 3
	expectDoQAnswer(t, c, notifyMessage)
	if !c.ConnectionState().Used0RTT {
		t.Error("0-RTT was not used")
	}
	if !<-complete || len(complete) > 0 {
		t.Error("NOTIFY was resolved before the handshake was complete, or twice")
	}
}

// Without a token the address may be forged: 0-RTT is refused, the session
// is resumed all the same. The client hears of it when its query is sent: on one that
// has heard already, no stream can be opened.
func TestDoQRefuses0RTTWithoutAToken(t *testing.T) {
	s, _, _ := watched(t, mirror)
	m := newRemembering()
	m.visit(t, s.addrOf(t, "doq"))
	open := make(chan struct{})
	c := dialGated(t, s.addrOf(t, "doq"), m.tls(), nil, open)
	stream := openStream(t, c, framed(plainQuery))
	stream.Close()
	close(open)
	if _, err := io.ReadAll(stream); !errors.Is(err, quic.Err0RTTRejected) {
		t.Errorf("got %v, want 0-RTT rejected", err)
	}
	next, err := c.NextConnection(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	expectDoQAnswer(t, next, plainQuery)
	if state := next.ConnectionState(); state.Used0RTT || !state.TLS.DidResume {
		t.Errorf("0-RTT %v, resumed %v; want the latter alone", state.Used0RTT, state.TLS.DidResume)
	}
}

// A crowd of handshakes makes new clients prove their address first. They do
// not notice but for the round trip.
func TestQUICSendsRetryWhenCrowded(t *testing.T) {
	s, l, conns := watched(t, mirror)
	for _, crowded := range []bool{false, true} {
		if crowded {
			l.handshakes.unproven.Add(retryAbove)
		}
		expectDoQAnswer(t, dialDoQ(t, s), plainQuery)
		if got := hasToken((<-conns).Context()); got != crowded {
			t.Errorf("crowded %v: client came with a token: %v", crowded, got)
		}
	}
	l.handshakes.unproven.Add(-retryAbove)
	if n := l.handshakes.unproven.Load(); n != 0 {
		t.Errorf("%d handshakes are still counted", n)
	}
}

// Handshakes that never end are counted until their deadline and no longer.
func TestQUICCountsUnprovenHandshakes(t *testing.T) {
	cfg := hostileConfig()
	cfg.DoH = nil
	set, err := Bind(cfg, mirror)
	if err != nil {
		t.Fatal(err)
	}
	l := set.sites[0].entries[0].listener.(*quicListener)
	began := make(chan int64, 100)
	begin := l.packets.ConnContext
	l.packets.ConnContext = func(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
		ctx, err := begin(ctx, info)
		began <- l.handshakes.unproven.Load()
		return ctx, err
	}
	s := serveSet(t, set)
	ctx, cancel := context.WithCancel(t.Context())
	hello := make(chan struct{})
	go func() {
		defer close(hello)
		// A client that dislikes the certificate stops after its first flight.
		config := clientTLS("doq")
		config.VerifyConnection = func(tls.ConnectionState) error { <-ctx.Done(); return io.EOF }
		quic.DialAddr(ctx, s.addrOf(t, "doq"), config, nil)
	}()
	if n := <-began; n != 1 {
		t.Errorf("%d handshakes counted, want 1", n)
	}
	settled(t, "unproven handshakes", 0, func() int { return int(l.handshakes.unproven.Load()) })
	cancel()
	<-hello
}

// Machines with the same keys accept one another's tokens, others do not.
func TestQUICTokensDependOnTheKey(t *testing.T) {
	for _, same := range []bool{true, false} {
		first, second := webConfig(), webConfig()
		tickets := [32]byte{9}
		for _, cfg := range []*Config{&first, &second} {
			cfg.DoQ = []string{"127.0.0.1:0"}
			cfg.TLS.SetSessionTicketKeys([][32]byte{tickets})
			cfg.QUIC.Token = [32]byte{1}
		}
		if !same {
			second.QUIC.Token = [32]byte{2}
		}
		m := newRemembering()
		m.visit(t, start(t, first, mirror).addrOf(t, "doq"))
		c := dialEarly(t, start(t, second, mirror).addrOf(t, "doq"), m.tls(), &quic.Config{TokenStore: tokens{m}})
		<-c.HandshakeComplete()
		if state := c.ConnectionState(); !state.TLS.DidResume || state.Used0RTT != same {
			t.Errorf("same key %v: resumed %v, 0-RTT %v", same, state.TLS.DidResume, state.Used0RTT)
		}
	}
}

func TestLowBuffer(t *testing.T) {
	for text, low := range map[string]bool{"212992\n": true, "7500000\n": false, "": false, "many": false} {
		if _, got := lowBuffer(text); got != low {
			t.Errorf("%q: low %v, want %v", text, got, low)
		}
	}
}

// net/http tells its log what clients do wrong; none of it may reach ours
// above the debug level, and what is our own fault must.
func TestHTTPLogLevels(t *testing.T) {
	for line, level := range map[string]string{
		"http: TLS handshake error from 192.0.2.1:1: EOF\n":          "DEBUG",
		"http: panic serving 192.0.2.1:1: oh\n":                      "ERROR",
		"http: Accept error: too many open files; retrying in 5ms\n": "WARN",
	} {
		var out logBuffer
		log := httpLog{slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})), new(throttle)}
		io.WriteString(log, line)
		if !strings.Contains(out.String(), "level="+level) {
			t.Errorf("%q: logged %q, want level %s", line, out.String(), level)
		}
		io.WriteString(log, line)
		if n := strings.Count(out.String(), "\n"); level != "DEBUG" && n != 1 {
			t.Errorf("%q: logged %d times within a moment", line, n)
		}
	}
}

// queued is a listener that has connections which nobody has accepted when ctx
// ends. It hands them out after Close, as quic-go's does; and where chance decides
// there between a connection and the end of ctx, here it is always the end.
type queued struct {
	conns  []*quic.Conn
	closed bool
}

func (q *queued) Close() error {
	q.closed = true
	return nil
}

func (q *queued) Accept(ctx context.Context) (*quic.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(q.conns) == 0 {
		return nil, quic.ErrServerClosed
	}
	conn := q.conns[0]
	q.conns = q.conns[1:]
	return conn, nil
}

// TestConnectionsNobodyAcceptedAreServedAtTheEnd, which means closed in order.
func TestConnectionsNobodyAcceptedAreServedAtTheEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ln := &queued{conns: []*quic.Conn{new(quic.Conn), new(quic.Conn)}}
	want := slices.Clone(ln.conns)
	var got []*quic.Conn
	err := acceptAll(ctx, ln, func(conn *quic.Conn) { got = append(got, conn) })
	if !errors.Is(err, context.Canceled) || !ln.closed || !slices.Equal(got, want) {
		t.Errorf("%v, closed: %t, %d connections of %d", err, ln.closed, len(got), len(want))
	}
}
