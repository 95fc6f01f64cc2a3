package listeners

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
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
		alpn:           "doq", // RFC 9250 §4.1.1
		early:          true,
		unidirectional: 1, // so that a client that opens one is told what is wrong
		goodbye:        doqNoError,
		conn: func(c *quic.Conn) (quicConn, error) {
			return &doqConn{conn: c, resolver: r, log: cfg.Log}, nil
		},
	}
	return bindEach(hostport, func(addr netip.AddrPort) (listener, error) {
		socket, err := openUDPSocket(addr)
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
	log      *slog.Logger
}

// unidirectional closes the connection: DoQ has no such streams (RFC 9250 §4.3.3).
func (c *doqConn) unidirectional(*quic.ReceiveStream) { c.abort(errUnidirectional) }

// stream answers the query on s. The answer and the end of the stream are
// handed to quic-go at once, for one packet.
func (c *doqConn) stream(s *quic.Stream) {
	x := borrowExchange()
	defer x.release()
	err := c.answer(s, x)
	if err == nil {
		return
	}
	if _, ok := errors.AsType[doqViolation](err); ok {
		c.abort(err)
		return
	}
	code := resetCode(err, x.query.Verdict)
	s.CancelRead(code)
	s.CancelWrite(code)
}

// abort closes the connection because of what the client did.
func (c *doqConn) abort(violation error) {
	c.log.Debug("DoQ connection closed", "client", c.conn.RemoteAddr().String(), "error", violation)
	_ = c.conn.CloseWithError(doqProtocolError, violation.Error())
}

func (c *doqConn) answer(s *quic.Stream, x *exchange) error {
	q := &x.query
	q.Verdict = query.Pending
	message, err := readDoQ(s, x)
	if err != nil {
		return err
	}
	if err := c.awaitHandshake(message); err != nil {
		return err
	}
	q.Message, q.Client, q.Transport, q.Received = message, c.client(), query.DoQ, time.Now()
	if x.out, err = appendFrame(x.out[:0], c.resolver, q); err != nil {
		if q.Verdict == query.Silent {
			return errNoQuery
		}
		return err
	}
	if _, err := s.Write(x.out); err != nil {
		return err
	}
	return s.Close()
}

// awaitHandshake holds back a message that must not be replayed until the
// handshake is complete (RFC 9250 §4.5): everything but a QUERY.
func (c *doqConn) awaitHandshake(message []byte) error {
	if opcode(message) == 0 {
		return nil
	}
	select {
	case <-c.conn.HandshakeComplete():
		return nil
	case <-c.conn.Context().Done():
		return c.conn.Context().Err()
	}
}

// client is where the connection comes from now: a QUIC client may move.
func (c *doqConn) client() netip.AddrPort {
	udp, ok := c.conn.RemoteAddr().(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	a := udp.AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// resetCode is the code that a stream without an answer is reset with (RFC 9250
// §4.3.1, §4.3.2). On a connection that is gone it goes nowhere.
func resetCode(err error, v query.Verdict) quic.StreamErrorCode {
	cancelled, ok := errors.AsType[*quic.StreamError](err)
	switch {
	case ok && cancelled.Remote:
		return doqRequestCancelled
	case errors.Is(err, errBusy), v == query.Dropped:
		return doqExcessiveLoad
	case errors.Is(err, errSilent):
		return doqInternalError
	default: // the client was too slow
		return doqUnspecifiedError
	}
}
