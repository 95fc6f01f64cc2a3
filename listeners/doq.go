package listeners

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"domainpark/query"
)

// Error codes of DoQ (RFC 9250 §8.4), for streams and connections.
const (
	doqNoError          = 0x0
	doqInternalError    = 0x1
	doqProtocolError    = 0x2
	doqRequestCancelled = 0x3
	doqExcessiveLoad    = 0x4
	doqUnspecifiedError = 0x5
)

// bindDoQ binds DNS over QUIC (RFC 9250).
func bindDoQ(hostport string, cfg *Config, r Resolver) ([]listener, error) {
	if cfg.TLS == nil {
		return nil, errNoTLS
	}
	doq := quicProtocol{
		transport:      query.DoQ,
		alpn:           "doq", // RFC 9250 §4.1.1
		early:          true,
		unidirectional: 1, // so that a client that opens one is told what is wrong
		goodbye:        doqNoError,
		busy:           doqExcessiveLoad,
		internal:       doqInternalError,
		conn: func(c *quic.Conn, refused *refusals) (quicConn, error) {
			return &doqConn{conn: c, resolver: r, cfg: cfg, refusals: refused}, nil
		},
	}
	return bindEach(hostport, func(addr netip.AddrPort) (listener, error) {
		socket, err := openUDPSocket(cfg, "doq", addr)
		if err != nil {
			return nil, err
		}
		return newQUIC(socket, cfg, doq), nil
	})
}

// doqConn implements quicConn: each stream of the client is one query.
type doqConn struct {
	conn     *quic.Conn
	resolver Resolver
	cfg      *Config
	refusals *refusals
	early    atomic.Int32 // queries answered before the handshake was complete
	fatigue
}

// earlyAnswers is how many of them there may be. The client's address is then
// known by its token alone, which somebody else may hold: six padded answers
// are three times the two packets that a client begins with (RFC 9000 §8.1).
const earlyAnswers = 6

// unidirectional closes the connection: DoQ has no such streams (RFC 9250 §4.3.3).
func (c *doqConn) unidirectional(*quic.ReceiveStream) {
	c.abort(doqProtocolError, errUnidirectional.Error())
}

// leave implements quicConn. DoQ has no word for it but the end of the connection.
func (c *doqConn) leave(quic.StreamID) {}

// glance is how long we wait for the bytes of a stream before others get their
// turn. They nearly always came with the packet that opened the stream; 1 ms is
// long enough to notice that and bounds how long a client can hold up itself.
const glance = time.Millisecond

// stream implements quicConn. A query that is there with the end of its stream
// is answered at once: a goroutine for each costs half as much CPU again, most of
// it for growing its stack (16 µs instead of 10 for an answer).
func (c *doqConn) stream(s *quic.Stream, now time.Time) (rest func()) {
	x := borrowExchange()
	defer x.lost()
	_ = s.SetReadDeadline(now.Add(glance))
	n, err := s.Read(x.inbox.space())
	x.inbox.took(n)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	if err == nil || !c.complete() {
		return c.slowly(s, x, err)
	}
	if err = c.answer(s, x, err, now); err == nil {
		err = s.TryWriteAll(x.out)
	}
	if err == quic.ErrWouldBlock {
		return func() {
			defer x.lost()
			c.finish(s, x, send(s, x))
		}
	}
	c.finish(s, x, err)
	return nil
}

// slowly is what stream leaves to do when the query is still on its way. It is a
// function of its own so that stream's variables stay off the heap.
func (c *doqConn) slowly(s *quic.Stream, x *exchange, err error) func() {
	return func() {
		defer x.lost()
		err := c.answer(s, x, err, time.Time{})
		if err == nil {
			err = send(s, x)
		}
		c.finish(s, x, err)
	}
}

func send(s *quic.Stream, x *exchange) error {
	_, err := s.Write(x.out)
	return err
}

// finish ends s, well or not, and releases x. The answer was handed to quic-go
// a moment ago, so the end of the stream most often leaves in the same packet.
func (c *doqConn) finish(s *quic.Stream, x *exchange, err error) {
	if err != nil {
		c.failed(s, &x.query, err)
		x.release()
		return
	}
	x.release()
	c.refusals.answered()
	c.calm()
	_ = s.Close() // fails when the client has cancelled
}

// answer puts the framed answer to the query on s into x.out. What arrived of it
// is in x's inbox; err is what the latest read said. It arrived now; zero: when
// it is complete.
func (c *doqConn) answer(s *quic.Stream, x *exchange, err error, now time.Time) error {
	q := &x.query
	q.Verdict = query.Pending
	message, err := readDoQ(s, x, err)
	if err != nil {
		return err
	}
	if err := c.awaitHandshake(message); err != nil {
		return err
	}
	if now.IsZero() {
		now = time.Now()
	}
	// A QUIC client may move: its address is the one it has now.
	q.Message, q.Client, q.Transport, q.Received = message, remote(c.conn), query.DoQ, now
	x.out, err = appendFrame(x.out[:0], c.resolver, q)
	if err != nil && q.Verdict == query.Silent {
		return errNoQuery
	}
	return err
}

// complete tells whether the handshake is: what came before may be a replay.
func (c *doqConn) complete() bool {
	select {
	case <-c.conn.HandshakeComplete():
		return true
	default:
		return false
	}
}

// awaitHandshake holds back a message that must not be replayed until the
// handshake is complete (RFC 9250 §4.5): everything but a QUERY, and of those
// all but the first few.
func (c *doqConn) awaitHandshake(message []byte) error {
	if opcode(message) == 0 && (c.complete() || c.early.Add(1) <= earlyAnswers) {
		return nil
	}
	select {
	case <-c.conn.HandshakeComplete():
		return nil
	case <-c.conn.Context().Done():
		return context.Cause(c.conn.Context())
	}
}
