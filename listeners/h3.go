package listeners

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"domainpark/query"
)

// h3Listener is DNS over HTTP/3 (RFC 8484, RFC 9114). It is a type of its own
// because Bind lists it under another name than the settings: doh3.
type h3Listener struct{ *quicListener }

// h3Unidirectional is how many unidirectional streams a client needs: one each
// for control and QPACK's encoder and decoder (RFC 9114 §6.2), and some to spare
// for those without meaning that clients open to keep servers flexible (§6.2.3).
const h3Unidirectional = 8

// newH3 serves handler on socket. We accept the streams, not http3: it sets no
// deadline for them, and a client that stalls a hundred requests would keep
// them for as long as it likes. The price is that no GOAWAY announces a
// shutdown (http3 keeps the control stream to itself); the connection is closed
// with H3_NO_ERROR after the last answer instead, which says the same.
//
// 0-RTT is off: HTTP has its own rules for replays (RFC 8470), and a resolver
// in a hurry has DoQ.
func newH3(socket *net.UDPConn, cfg *Config, handler *dohHandler) h3Listener {
	return h3Listener{newQUIC(socket, cfg, quicProtocol{
		transport:      query.DoH3,
		alpn:           http3.NextProtoH3,
		unidirectional: h3Unidirectional,
		goodbye:        quic.ApplicationErrorCode(http3.ErrCodeNoError),
		busy:           quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad),
		internal:       quic.ApplicationErrorCode(http3.ErrCodeInternalError),
		conn: func(c *quic.Conn, refused *refusals) (quicConn, error) {
			return newH3Conn(c, handler, refused)
		},
	})}
}

// h3Conn implements quicConn, and http.Handler for http3. Queries in the usual form
// are answered here, and all others by http3: with its goroutine, contexts, maps and
// writers it takes three times the CPU for an answer. Of http3's control stream there is
// only ours; the client's, and QPACK's, are read here.
type h3Conn struct {
	*http3.RawServerConn
	conn     *quic.Conn
	handler  *dohHandler
	refusals *refusals
	handled  atomic.Int32  // requests that http3 has handed on, and that odd has not seen yet
	tired    atomic.Int32  // the patience that is used up
	opened   atomic.Uint32 // the critical streams that the client has opened: 1 << type
}

func newH3Conn(conn *quic.Conn, handler *dohHandler, refused *refusals) (*h3Conn, error) {
	c := &h3Conn{conn: conn, handler: handler, refusals: refused}
	server := &http3.Server{Handler: c, MaxHeaderBytes: maxHeaderBytes}
	var err error
	c.RawServerConn, err = server.NewRawServerConn(conn)
	return c, err
}

// ServeHTTP implements http.Handler.
func (c *h3Conn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer c.handled.Add(1)
	defer c.handler.cfg.faults.aborts(c.handler.transport.String(), r)
	c.handler.serve(w, r, c.refusals)
}

// odd has http3 serve s. What it answers or resets by itself, such as a header that
// is malformed or too long, is charged as a request all the same. A request does not
// tell which stream it came on, so what was handed on is counted: of streams that end
// at the same time, the charge may come with another one. What is lost because we end
// the connection is charged to nobody.
func (c *h3Conn) odd(s *quic.Stream) {
	c.HandleRequestStream(s)
	for n := c.handled.Load(); n > 0; n = c.handled.Load() {
		if c.handled.CompareAndSwap(n, n-1) {
			c.calm()
			return
		}
	}
	if c.tire() && endedInOrder(s) {
		return
	}
	c.charge()
}

// endedInOrder tells whether we have ended the connection of s before s, for no fault
// of the client's: to make room, because the server stops, or after a panic.
func endedInOrder(s *quic.Stream) bool {
	closed, ok := errors.AsType[*quic.ApplicationError](context.Cause(s.Context()))
	if !ok || closed.Remote {
		return false
	}
	switch http3.ErrCode(closed.ErrorCode) {
	case http3.ErrCodeNoError, http3.ErrCodeExcessiveLoad, http3.ErrCodeInternalError:
		return true
	}
	return false
}

// charge charges the client for a request without a query that gets no answer from
// dohHandler.
func (c *h3Conn) charge() {
	if !c.handler.admits(remote(c.conn), time.Now()) {
		c.refusals.add()
	}
}

// stream implements quicConn. As long as it only looks at what has arrived, s is
// as new, and http3 can have it.
func (c *h3Conn) stream(s *quic.Stream, now time.Time) (rest func()) {
	x := borrowExchange()
	_ = s.SetReadDeadline(now.Add(glance))
	n, err := s.Peek(x.message[:packetBytes])
	if err == io.EOF {
		if message := plainMessage(x.message[:n], x); message != nil {
			return c.answer(s, x, message, now)
		}
	}
	x.release()
	return func() { c.odd(s) }
}

// answer answers message, which is all there is in s.
func (c *h3Conn) answer(s *quic.Stream, x *exchange, message []byte, now time.Time) (rest func()) {
	c.calm()
	if err := x.take(s); err != nil {
		c.charge()
		return c.finish(s, x, err)
	}
	q := &x.query
	q.Message, q.Client, q.Transport, q.Received = message, remote(c.conn), query.DoH3, now
	q.Verdict = query.Pending
	var room [h3HeadBytes]byte
	x.out = c.handler.resolver.Resolve(append(x.out[:0], room[:]...), q)
	size := len(x.out) - h3HeadBytes
	if size == 0 {
		e := c.handler.unanswered(q)
		c.refusals.note(e.status)
		x.out = appendRefusal(x.out[:0], e, now)
		return c.send(s, x, x.out)
	}
	c.refusals.answered()
	head := appendHead(room[:0], h3Answered, size, q.MaxAge, now)
	start := h3HeadBytes - len(head)
	copy(x.out[start:], head)
	return c.send(s, x, x.out[start:])
}

// take reads all of s, whose end has arrived, to where it has been seen already:
// quic-go forgets a stream only when its end was read. A glance that ends
// meanwhile, because something else had the CPU, is none of the client's doing.
func (x *exchange) take(s *quic.Stream) error {
	for space := x.message[:packetBytes]; ; {
		n, err := s.Read(space)
		space = space[n:]
		switch {
		case err == io.EOF:
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			_ = s.SetReadDeadline(time.Time{})
		case err != nil:
			return err
		}
	}
}

// send sends response as far as it can without waiting.
func (c *h3Conn) send(s *quic.Stream, x *exchange, response []byte) (rest func()) {
	err := s.TryWriteAll(response)
	if err == quic.ErrWouldBlock {
		return func() {
			_, err := s.Write(response)
			c.finish(s, x, err)
		}
	}
	return c.finish(s, x, err)
}

// finish ends s, well or not, and releases x. It leaves nothing to do.
func (c *h3Conn) finish(s *quic.Stream, x *exchange, err error) (rest func()) {
	x.release()
	if err == nil {
		_ = s.Close() // fails when the client has cancelled
		return nil
	}
	s.CancelRead(quic.StreamErrorCode(http3.ErrCodeRequestCanceled))
	s.CancelWrite(quic.StreamErrorCode(http3.ErrCodeRequestCanceled))
	return nil
}
