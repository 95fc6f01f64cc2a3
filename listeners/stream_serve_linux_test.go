package listeners

import (
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"domainpark/query"
)

// ask sends a query and reads its answer.
func ask(t testing.TB, c halfConn, id uint16) {
	t.Helper()
	write(t, c, framed(testMessage(id, 40)))
	expectAnswer(t, c, testMessage(id, 40))
}

// streamOf is s's only connection, on transport.
func streamOf(t *testing.T, s *running, transport string) *stream {
	t.Helper()
	for _, site := range s.sites {
		for _, e := range site.entries {
			if l, ok := e.listener.(*streams); ok && l.transport.String() == transport {
				l.mu.Lock()
				defer l.mu.Unlock()
				for c := range l.open {
					return c
				}
			}
		}
	}
	t.Fatal("no connection")
	return nil
}

// TestStreamsWaitWithoutLookingAgain: of the reads behind an answer few look whether
// there is anything, while a client asks again soon.
func TestStreamsWaitWithoutLookingAgain(t *testing.T) {
	eachStream(t, mirror, func(t *testing.T, s *running, transport string) {
		c := s.dialStream(t, transport)
		const queries = 500
		for id := range uint16(queries) {
			ask(t, c, id)
		}
		served := streamOf(t, s, transport)
		c.CloseWrite()
		expectStreamEnd(t, c)
		s.stop(t)                                              // nobody else has the counter then
		if got := served.raw.calls.waits; got > queries*9/10 { // where nothing is saved, all
			t.Errorf("%d reads found nothing, for %d queries", got, queries)
		}
	})
}

// TestAnEndThatComesWithAQueryIsSeen: on one processor the server looks when this
// goroutine waits, and so wakes once for both. The connection has all the time it
// wants, and the client waits for the server to end it.
func TestAnEndThatComesWithAQueryIsSeen(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	eachStream(t, mirror, func(t *testing.T, s *running, transport string) {
		for range 3 {
			c := s.dialStream(t, transport)
			ask(t, c, 1)
			ask(t, c, 2)
			write(t, c, framed(testMessage(3, 40)))
			if secure, ok := c.(*tls.Conn); ok { // whose goodbye would be data
				half := secure.NetConn().(*net.TCPConn)
				if err := half.CloseWrite(); err != nil {
					t.Fatal(err)
				}
			} else if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			expectAnswer(t, c, testMessage(3, 40))
			if err := c.SetReadDeadline(time.Now().Add(patience / 2)); err != nil {
				t.Fatal(err)
			}
			expectStreamEnd(t, c)
		}
	})
}

// TestTheTimeOfAMessageBehindAnAnswer: it holds also for one that begins behind an
// answer, together with the query before it, or alone.
func TestTheTimeOfAMessageBehindAnAnswer(t *testing.T) {
	for _, transport := range streamKinds {
		for said, before := range map[string][]byte{"alone": nil, "with a query": framed(testMessage(3, 40))} {
			t.Run(transport+", "+said, func(t *testing.T) {
				cfg := listenOn(transport, "127.0.0.1:0")
				cfg.Timeouts = Timeouts{Handshake: patience, Message: 20 * time.Millisecond, Idle: time.Hour, Write: patience}
				s := start(t, cfg, mirror)
				c := s.dialStream(t, transport)
				ask(t, c, 1)
				ask(t, c, 2)
				write(t, c, append(before, framed(testMessage(4, 40))[:20]...))
				if before != nil {
					expectAnswer(t, c, testMessage(3, 40))
				}
				if got, err := io.ReadAll(c); len(got) > 0 || err != nil && isTimeout(err) {
					t.Errorf("got %.40x, %v; want the end", got, err)
				}
			})
		}
	}
}

// TestNoByteExtendsAMessageThatBeganOnward: not even when the next ones are read by a
// read that returns.
func TestNoByteExtendsAMessageThatBeganOnward(t *testing.T) {
	here, _ := directPair(t)
	cfg := webConfig().withDefaults()
	s := newStreams(nil, query.TCP, &cfg, mirror)
	c := &stream{server: s, raw: newSocket(here.TCPConn, patience), account: s.accounts.Open(time.Now(), netip.MustParseAddr("127.0.0.1"), func() {})}
	c.came(time.Now())
	if used, err := c.onward(&c.in, copy(c.in.space(), framed(testMessage(1, 40))[:20])); !used || err != nil {
		t.Fatalf("used %v, %v", used, err)
	}
	began := c.messageBy
	c.came(time.Now().Add(time.Second))
	if c.messageBy != began {
		t.Errorf("its time ends %s later", c.messageBy.Sub(began))
	}
}

// TestAStreamThatIsLookedAtGoesOn: that nothing is there when it is, is not its end.
func TestAStreamThatIsLookedAtGoesOn(t *testing.T) {
	eachStream(t, mirror, func(t *testing.T, s *running, transport string) {
		c := s.dialStream(t, transport)
		for id := range uint16(3) {
			ask(t, c, 2*id)
			ask(t, c, 2*id+1)
			if err := streamOf(t, s, transport).raw.SetReadDeadline(time.Unix(1, 0)); err != nil { // the look is due
				t.Fatal(err)
			}
		}
		ask(t, c, 6)
	})
}
