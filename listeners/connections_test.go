package listeners

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"domainpark/query"
)

func unchanged(*ledger) {}

func TestConnectionsAreCountedUntilTheyAreClosed(t *testing.T) {
	eachQuota(t, unchanged, mirror, func(t *testing.T, l *ledger, s *running, kind string) {
		ask, end := s.client(t, kind)
		for range 3 {
			if err := ask(); err != nil {
				t.Fatal(err)
			}
		}
		got := l.accounts()
		if len(got) != 1 || got[0].touched != 3 || got[0].closed != 0 || got[0].addr.String() != "127.0.0.1" {
			t.Errorf("accounts %+v, want one of 127.0.0.1, open, with three messages", got)
		}
		end()
		settled(t, "open connections", 0, l.open)
	})
}

func TestConnectionsThatAreRefusedAreClosedAtOnce(t *testing.T) {
	unasked := resolverFunc(func(dst []byte, _ *query.Query) []byte {
		t.Error("a query came through")
		return dst
	})
	eachQuota(t, func(l *ledger) { l.most = 0 }, unasked, func(t *testing.T, l *ledger, s *running, kind string) {
		ask, end := s.client(t, kind)
		err := ask()
		if err == nil {
			t.Fatal("got an answer")
		}
		if closed, ok := errors.AsType[*quic.ApplicationError](err); kind == "doq" && (!ok || closed.ErrorCode != doqExcessiveLoad) {
			t.Errorf("got %v, want DOQ_EXCESSIVE_LOAD", err)
		}
		if refused, ok := errors.AsType[net.Error](err); ok && refused.Timeout() {
			t.Errorf("got %v: the client had to wait", err)
		}
		if kind != "doq" {
			end()
		}
	})
}

// A client that has proved its address costs nothing when there is no room.
func TestQUICRefusesBeforeTheHandshake(t *testing.T) {
	l := newLedger()
	l.most, l.unproven = 0, 0
	cfg := webConfig()
	cfg.Connections, cfg.DoQ = l, []string{"127.0.0.1:0"}
	s := start(t, cfg, mirror)
	ask, _ := doqClient(s.addrOf(t, "doq"))
	err := ask()
	if refused, ok := errors.AsType[*quic.TransportError](err); !ok || refused.ErrorCode != quic.ConnectionRefused {
		t.Errorf("got %v, want CONNECTION_REFUSED", err)
	}
	// Each packet of the ClientHello asks anew: nothing is kept of the others.
	if calls := slices.Compact(l.take()); !slices.Equal(calls, []string{"newcomer", "refused"}) {
		t.Errorf("the accounts were asked %q, want no handshake", calls)
	}
}

func TestConnectionsThatMakeRoomAreClosed(t *testing.T) {
	eachQuota(t, unchanged, mirror, func(t *testing.T, l *ledger, s *running, kind string) {
		ask, end := s.client(t, kind)
		defer end()
		if err := ask(); err != nil {
			t.Fatal(err)
		}
		l.accounts()[0].evict()
		settled(t, "open connections", 0, l.open)
		// A packet that says so may be on its way.
		for ask() == nil {
			t.Error("answered over a connection that had to go")
		}
	})
}

// A QUIC connection may have to go before its handshake is complete.
func TestQUICConnectionThatMakesRoomEarly(t *testing.T) {
	s, _, conns := watched(t, mirror)
	c := dialDoQ(t, s)
	conn := <-conns
	var p place
	p.busy = doqExcessiveLoad
	p.leave()
	p.take(conn)
	<-c.Context().Done()
	if closed, ok := errors.AsType[*quic.ApplicationError](context.Cause(c.Context())); !ok || closed.ErrorCode != doqExcessiveLoad {
		t.Errorf("got %v, want DOQ_EXCESSIVE_LOAD", context.Cause(c.Context()))
	}
}

// A connection that has had its queries ends with the answer to the last one,
// and the client sees no error but that it is over.
func TestConnectionsEndWithTheirLastQuery(t *testing.T) {
	eachQuota(t, func(l *ledger) { l.queries = 3 }, mirror, func(t *testing.T, l *ledger, s *running, kind string) {
		ask, end := s.client(t, kind)
		for range 3 {
			if err := ask(); err != nil {
				t.Fatal(err)
			}
		}
		err := ask()
		end()
		settled(t, "open connections", 0, l.open)
		closed, ok := errors.AsType[*quic.ApplicationError](err)
		switch kind {
		case "tcp", "dot":
			if !errors.Is(err, io.EOF) && !isReset(err) {
				t.Errorf("got %v, want EOF", err)
			}
		case "doq":
			if !ok || closed.ErrorCode != doqNoError {
				t.Errorf("got %v, want DOQ_NO_ERROR", err)
			}
		case "HTTP/3.0":
			h3, ok := errors.AsType[*http3.Error](err)
			if !errors.Is(err, errGone) && (!ok || h3.ErrorCode != http3.ErrCodeNoError) { // GOAWAY may come too late
				t.Errorf("got %v, want H3_NO_ERROR or %v", err, errGone)
			}
		default:
			if !errors.Is(err, errGone) { // the client tried another connection
				t.Errorf("got %v, want %v", err, errGone)
			}
		}
		if got := l.accounts(); len(got) != 1 || got[0].touched != 3 {
			t.Errorf("accounts %+v, want one with three messages", got)
		}
	})
}

// isReset tells whether a write met a connection that the other side ended.
func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && !op.Timeout()
}

func TestStreamAnswersNoMoreThanItMay(t *testing.T) {
	var idle []time.Duration
	r := resolverFunc(func(dst []byte, q *query.Query) []byte {
		idle = append(idle, q.Idle)
		return mirror(dst, q)
	})
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		l.queries, l.idle = 3, 7*time.Second
		s := newStreams(nil, query.TCP, &Config{Timeouts: Timeouts{}.withDefaults(), Connections: l}, r)
		client, server := net.Pipe()
		s.start(server)
		m := framed(testMessage(1, 12))
		go func() { _, _ = client.Write(append(append(append(append(m, m...), m...), m...), m...)) }()
		for range 3 {
			expectAnswer(t, client, testMessage(1, 12))
		}
		expectStreamEnd(t, client)
		s.running.Wait()
		if len(idle) != 3 || idle[0] != l.idle || idle[1] != l.idle || idle[2] != 0 {
			t.Errorf("clients were told %v, want 7 s twice and 0 with the last answer", idle)
		}
		if got := l.accounts(); got[0].closed != 1 {
			t.Errorf("closed %d times", got[0].closed)
		}
	})
}

// What clients are told about the idle time is what holds.
func TestStreamIdleTimeIsThatOfTheAccounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		l.idle = 2 * time.Second
		s := newStreams(nil, query.TCP, &Config{Timeouts: Timeouts{}.withDefaults(), Connections: l}, mirror)
		client, server := net.Pipe()
		begin := time.Now()
		s.start(server)
		endsAfter(t, client, begin, l.idle)
		if got := s.keepalive(); got != l.idle {
			t.Errorf("clients are told %v, want %v", got, l.idle)
		}
		s.running.Wait()
	})
}

// TestStreamThatIsIdleEndsWithItsAge: no query has to come for that.
func TestStreamThatIsIdleEndsWithItsAge(t *testing.T) {
	var idle []time.Duration
	r := resolverFunc(func(dst []byte, q *query.Query) []byte {
		idle = append(idle, q.Idle)
		return mirror(dst, q)
	})
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		l.idle, l.age = 10*time.Second, 15*time.Second
		s := newStreams(nil, query.TCP, &Config{Timeouts: Timeouts{}.withDefaults(), Connections: l}, r)
		client, server := net.Pipe()
		begin := time.Now()
		s.start(server)
		for _, pause := range []time.Duration{0, 8 * time.Second} {
			time.Sleep(pause)
			write(t, client, framed(testMessage(1, 12)))
			expectAnswer(t, client, testMessage(1, 12))
		}
		endsAfter(t, client, begin, l.age)
		s.running.Wait()
		if len(idle) != 2 || idle[0] != l.idle || idle[1] != 7*time.Second {
			t.Errorf("clients were told %v, want 10 s and then 7 s", idle)
		}
	})
}

func TestConnectionsAreClosedWhenIdleTimeShrinks(t *testing.T) {
	eachQuota(t, func(l *ledger) { l.idle = 10 * time.Millisecond }, mirror, func(t *testing.T, l *ledger, s *running, kind string) {
		ask, end := s.client(t, kind)
		if err := ask(); err != nil && len(l.accounts()) == 0 {
			t.Fatal(err)
		}
		defer end()
		settled(t, "open connections", 0, l.open) // an hour later otherwise
	})
}

// TestHTTPConnectionIsIdleForAsLongAsItMay: with net/http's own states.
func TestHTTPConnectionIsIdleForAsLongAsItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		l.idle = 4 * time.Second
		client, server := net.Pipe()
		c := &accountedConn{Conn: server, account: l.Open(time.Now(), remote(server).Addr(), nil), accounts: l}
		state := watch(10 * time.Second)
		begin := time.Now()
		for _, at := range []http.ConnState{http.StateNew, http.StateActive, http.StateIdle} {
			state(c, at)
		}
		time.Sleep(3 * time.Second)
		state(c, http.StateActive)
		time.Sleep(time.Minute) // busy
		state(c, http.StateIdle)
		endsAfter(t, client, begin, 67*time.Second)
		state(c, http.StateClosed)
		if got := l.accounts(); got[0].closed != 1 {
			t.Errorf("closed %d times", got[0].closed)
		}
		l.idle = 10 * time.Second // net/http's own
		state(c, http.StateIdle)
		if c.idle.Stop() {
			t.Error("two clocks run for one idle time")
		}
	})
}

func TestQueriesInFlightAreThoseOfTheAccounts(t *testing.T) {
	l := newLedger()
	l.streams = 3
	cfg := webConfig()
	cfg.Connections, cfg.DoQ, cfg.DoH = l, []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}
	s := start(t, cfg, mirror)
	if got := maxConcurrentStreams(t, dialTLS(t, s.addrOf(t, "doh"), "h2")); got != 3 {
		t.Errorf("HTTP/2: %d streams at once, want 3", got)
	}
	c := dialDoQ(t, s)
	for i := range 4 {
		_, err := c.OpenStream()
		if _, full := errors.AsType[*quic.StreamLimitReachedError](err); full != (i == 3) {
			t.Errorf("stream %d: %v", i+1, err)
		}
	}
}

// maxConcurrentStreams is what an HTTP/2 server says of itself (RFC 9113 §6.5.2).
func maxConcurrentStreams(t *testing.T, c net.Conn) uint32 {
	t.Helper()
	defer c.Close()
	write(t, c, []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")) // and our SETTINGS, empty
	header := make([]byte, 9)
	if _, err := io.ReadFull(c, header); err != nil || header[3] != 4 {
		t.Fatalf("got %x, %v; want SETTINGS", header, err)
	}
	settings := make([]byte, int(header[1])<<8|int(header[2]))
	if _, err := io.ReadFull(c, settings); err != nil {
		t.Fatal(err)
	}
	for s := range slices.Chunk(settings, 6) {
		if binary.BigEndian.Uint16(s) == 3 {
			return binary.BigEndian.Uint32(s[2:])
		}
	}
	t.Fatal("no limit")
	return 0
}
