package listeners

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"domainpark/query"
)

// doqServer serves r over DoQ on a loopback port.
func doqServer(t testing.TB, r Resolver) *running {
	t.Helper()
	cfg := webConfig()
	cfg.DoQ = []string{"127.0.0.1:0"}
	return start(t, cfg, r)
}

// dialQUIC opens a connection that ends with the test.
func dialQUIC(t testing.TB, addr string, config *tls.Config, quicConfig *quic.Config) *quic.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := quic.DialAddr(ctx, addr, config, quicConfig)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseWithError(doqNoError, "") })
	return c
}

func dialDoQ(t testing.TB, s *running) *quic.Conn {
	t.Helper()
	return dialQUIC(t, s.addrOf(t, "doq"), clientTLS("doq"), nil)
}

// openStream opens a stream that does not hang and writes data to it.
func openStream(t testing.TB, c *quic.Conn, data []byte) *quic.Stream {
	t.Helper()
	s, err := c.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	s.SetDeadline(time.Now().Add(patience))
	if _, err := s.Write(data); err != nil {
		t.Fatal(err)
	}
	return s
}

// askDoQ sends message with its FIN and returns all that comes back.
func askDoQ(t testing.TB, c *quic.Conn, message []byte) ([]byte, error) {
	t.Helper()
	s := openStream(t, c, framed(message))
	s.Close()
	return io.ReadAll(s)
}

func expectDoQAnswer(t testing.TB, c *quic.Conn, message []byte) {
	t.Helper()
	got, err := askDoQ(t, c, message)
	if want := framed(answerTo(message)); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("got %x, %v; want %x and the end of the stream", got, err, want)
	}
}

func TestDoQAnswersEachStream(t *testing.T) {
	seen := make(chan query.Query, 1)
	s := doqServer(t, resolverFunc(func(dst []byte, q *query.Query) []byte {
		seen <- *q
		return mirror(dst, q)
	}))
	c := dialDoQ(t, s)
	for _, n := range []int{12, 40, ownBytes - 2, ownBytes - 1, ownBytes, 5000, maxMessageBytes} {
		expectDoQAnswer(t, c, testMessage(0, n))
		if q := <-seen; q.Transport != query.DoQ || !loopback(q.Client) || q.Received.IsZero() {
			t.Errorf("query arrived as %v from %v at %v", q.Transport, q.Client, q.Received)
		}
	}
}

func TestDoQMessageInPieces(t *testing.T) {
	c := dialDoQ(t, doqServer(t, mirror))
	message := testMessage(0, 40)
	s := openStream(t, c, nil)
	for _, b := range framed(message) {
		if _, err := s.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	if got, err := io.ReadAll(s); err != nil || !bytes.Equal(got, framed(answerTo(message))) {
		t.Errorf("got %x, %v", got, err)
	}
}

// TestDoQViolationsCloseTheConnection holds RFC 9250 §4.3.3 and the DoQ row of
// the design's table of bad queries.
func TestDoQViolationsCloseTheConnection(t *testing.T) {
	s := start(t, hostileConfig(), resolverFunc(func(dst []byte, q *query.Query) []byte {
		q.Verdict = query.Silent
		return dst
	}))
	message := testMessage(0, 40)
	for _, c := range []struct {
		name   string
		data   []byte
		open   bool // no FIN
		reason doqViolation
	}{
		{"ID is not zero", framed(testMessage(1, 40)), false, errID},
		{"second query", framed(message, message), false, errSecond},
		{"one byte behind the query", append(framed(message), 0), false, errSecond},
		{"no FIN", framed(message), true, errNoFIN},
		{"nothing", nil, false, errTruncated},
		{"half a length", []byte{0}, false, errTruncated},
		{"length alone", []byte{0, 12}, false, errTruncated},
		{"FIN before the end", framed(message)[:41], false, errTruncated},
		{"length 0", []byte{0, 0}, false, errTooShort},
		{"length 11", framed(testMessage(0, 11)), false, errTooShort},
		{"not a query", framed(message), false, errNoQuery},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := dialDoQ(t, s)
			stream := openStream(t, conn, c.data)
			if !c.open {
				stream.Close()
			}
			_, err := io.ReadAll(stream)
			expectViolation(t, err, c.reason)
		})
	}
	t.Run("unidirectional stream", func(t *testing.T) {
		conn := dialDoQ(t, s)
		stream, err := conn.OpenUniStream()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Write([]byte{0}); err != nil {
			t.Fatal(err)
		}
		<-conn.Context().Done()
		expectViolation(t, context.Cause(conn.Context()), errUnidirectional)
	})
}

func expectViolation(t *testing.T, err error, reason doqViolation) {
	t.Helper()
	closed, ok := errors.AsType[*quic.ApplicationError](err)
	if !ok || !closed.Remote || closed.ErrorCode != doqProtocolError || closed.ErrorMessage != string(reason) {
		t.Errorf("got %v, want DOQ_PROTOCOL_ERROR: %s", err, reason)
	}
}

func TestDoQQueryWithoutAnswerResetsItsStreamOnly(t *testing.T) {
	s := doqServer(t, resolverFunc(func(dst []byte, q *query.Query) []byte {
		switch q.Message[headerBytes] {
		case 1:
			q.Verdict = query.Dropped
			return dst
		case 2:
			panic("a query that can't be")
		}
		return mirror(dst, q)
	}))
	c := dialDoQ(t, s)
	good := testMessage(0, 40)
	for name, want := range map[string]struct {
		behaviour byte
		code      quic.StreamErrorCode
	}{
		"dropped": {1, doqExcessiveLoad},
		"panic":   {2, doqInternalError},
	} {
		bad := testMessage(0, 40)
		bad[headerBytes] = want.behaviour
		_, err := askDoQ(t, c, bad)
		expectReset(t, name, err, want.code)
		expectDoQAnswer(t, c, good)
	}
}

func expectReset(t *testing.T, name string, err error, code quic.StreamErrorCode) {
	t.Helper()
	if reset, ok := errors.AsType[*quic.StreamError](err); !ok || !reset.Remote || reset.ErrorCode != code {
		t.Errorf("%s: got %v, want the stream reset with code %#x", name, err, code)
	}
}

// A stalled stream ends at its deadline, whatever it promised; others go on.
func TestDoQStalledStreamIsReset(t *testing.T) {
	c := dialDoQ(t, start(t, hostileConfig(), mirror))
	stalled := map[string]*quic.Stream{
		"half a length":              openStream(t, c, []byte{0}),
		"64 KiB promised, one byte":  openStream(t, c, []byte{0xff, 0xff, 0}),
		"64 KiB promised, some came": openStream(t, c, append([]byte{0xff, 0xff}, make([]byte, 9000)...)),
	}
	expectDoQAnswer(t, c, testMessage(0, 40))
	for name, s := range stalled {
		_, err := io.ReadAll(s)
		expectReset(t, name, err, doqUnspecifiedError)
	}
}

func TestDoQCancelledQueryIsForgotten(t *testing.T) {
	c := dialDoQ(t, doqServer(t, mirror))
	s := openStream(t, c, []byte{0, 40, 0})
	s.CancelWrite(doqRequestCancelled)
	_, err := io.ReadAll(s)
	expectReset(t, "cancelled", err, doqRequestCancelled)
	expectDoQAnswer(t, c, testMessage(0, 40))
}

func TestDoQStreamsOverLimitWait(t *testing.T) {
	release := make(chan struct{})
	s := doqServer(t, resolverFunc(func(dst []byte, q *query.Query) []byte {
		<-release
		return mirror(dst, q)
	}))
	c := dialDoQ(t, s)
	var open []*quic.Stream
	for range maxStreams {
		stream := openStream(t, c, framed(testMessage(0, 40)))
		stream.Close()
		open = append(open, stream)
	}
	if _, err := c.OpenStream(); err == nil {
		t.Errorf("stream %d was let in", maxStreams+1)
	}
	close(release)
	for _, stream := range open {
		if got, err := io.ReadAll(stream); err != nil || !bytes.Equal(got, framed(answerTo(testMessage(0, 40)))) {
			t.Fatalf("got %x, %v", got, err)
		}
	}
}

// A client that only sends PING frames is idle: QUIC's own timeout does not see it.
func TestDoQIdleConnectionIsClosedInSpiteOfPings(t *testing.T) {
	cfg := webConfig()
	cfg.DoQ = []string{"127.0.0.1:0"}
	cfg.Timeouts.Idle = 200 * time.Millisecond
	s := start(t, cfg, mirror)
	c := dialQUIC(t, s.addrOf(t, "doq"), clientTLS("doq"), &quic.Config{KeepAlivePeriod: 20 * time.Millisecond})
	select {
	case <-c.Context().Done():
	case <-time.After(patience):
		t.Fatal("connection lives on")
	}
	closed, ok := errors.AsType[*quic.ApplicationError](context.Cause(c.Context()))
	if !ok || closed.ErrorCode != doqNoError {
		t.Errorf("closed by %v, want DOQ_NO_ERROR", context.Cause(c.Context()))
	}
}

// On a wildcard address, answers leave from the address that was asked. The
// client's socket is connected, so that the kernel drops answers from elsewhere.
func TestDoQWildcardAnswersFromTheAddressAsked(t *testing.T) {
	cfg := webConfig()
	cfg.DoQ = []string{"0.0.0.0:0"}
	s := start(t, cfg, mirror)
	_, port, _ := net.SplitHostPort(s.addrOf(t, "doq"))
	socket, err := net.Dial("udp4", net.JoinHostPort("127.0.0.2", port))
	if err != nil {
		t.Skip("no 127.0.0.2 on this system: ", err)
	}
	defer socket.Close()
	tr := &quic.Transport{Conn: connected{socket}}
	defer tr.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := tr.Dial(ctx, socket.RemoteAddr(), clientTLS("doq"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseWithError(doqNoError, "")
	expectDoQAnswer(t, c, testMessage(0, 40))
}

// connected makes a packet socket of one that talks to a single address.
type connected struct{ net.Conn }

func (c connected) ReadFrom(p []byte) (int, net.Addr, error) {
	n, err := c.Read(p)
	return n, c.RemoteAddr(), err
}

func (c connected) WriteTo(p []byte, _ net.Addr) (int, error) { return c.Write(p) }
