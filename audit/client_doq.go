package audit

import (
	"context"
	"time"

	"github.com/quic-go/quic-go"
)

// quicSession is the one DoQ connection to a server. ready is closed when conn
// and err are set.
type quicSession struct {
	ready chan struct{}
	conn  *quic.Conn
	err   error
}

func (s *quicSession) close() {
	<-s.ready
	if s.conn != nil {
		s.conn.CloseWithError(0, "") // DOQ_NO_ERROR (RFC 9250 §4.3)
	}
}

// quic asks over DoQ. A connection that was kept may be closed by now, which is
// no fault: a new one is opened then.
func (c *client) quic(ctx context.Context, e endpoint, wire []byte) ([]byte, error) {
	s, fresh := c.session(ctx, e)
	answer, err := s.exchange(ctx, wire)
	if err == nil || ctx.Err() != nil || fresh {
		return answer, err
	}
	c.forget(e, s)
	s, _ = c.session(ctx, e)
	return s.exchange(ctx, wire)
}

// session is the connection to e. The first to ask for it opens it.
func (c *client) session(ctx context.Context, e endpoint) (s *quicSession, fresh bool) {
	c.mu.Lock()
	s, known := c.quics[e]
	if !known {
		s = &quicSession{ready: make(chan struct{})}
		c.quics[e] = s
	}
	c.mu.Unlock()
	if known {
		return s, false
	}
	s.conn, s.err = c.network.dialQUIC(ctx, e.addr.String(), c.tlsConfig(e, "doq"), &quic.Config{HandshakeIdleTimeout: c.timeout})
	close(s.ready)
	if s.err != nil {
		c.forget(e, s)
	}
	return s, true
}

func (c *client) forget(e endpoint, s *quicSession) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.quics[e] == s {
		delete(c.quics, e)
	}
}

// exchange asks one question, on a stream of its own (RFC 9250 §4.2).
func (s *quicSession) exchange(ctx context.Context, wire []byte) ([]byte, error) {
	select {
	case <-s.ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if s.err != nil {
		return nil, s.err
	}
	stream, err := s.conn.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	defer stream.CancelRead(0)
	deadline, _ := ctx.Deadline()
	stream.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { stream.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := stream.Write(framed(wire)); err != nil {
		return nil, err
	}
	if err := stream.Close(); err != nil {
		return nil, err
	}
	return readFramed(stream)
}
