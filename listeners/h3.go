package listeners

import (
	"errors"
	"io"
	"net"
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

// newH3 serves handler on socket. Of http3 only the names of errors are left: it sets
// no deadline for a stream, and takes frames that mean nothing without end.
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

// h3Conn implements quicConn. Queries in the usual form are answered where they are
// seen to be complete, with bytes made in advance; all others by odd, which takes three
// times the CPU for an answer: for its goroutine, maps, buffers and dohHandler.
type h3Conn struct {
	conn     *quic.Conn
	control  *quic.SendStream // ours
	handler  *dohHandler
	refusals *refusals
	tired    atomic.Int32  // the patience that is used up
	opened   atomic.Uint32 // the critical streams that the client has opened: 1 << type
}

func newH3Conn(conn *quic.Conn, handler *dohHandler, refused *refusals) (*h3Conn, error) {
	control, err := openH3Control(conn)
	return &h3Conn{conn: conn, control: control, handler: handler, refusals: refused}, err
}

// stream implements quicConn. As long as it only looks at what has arrived, s is
// as new, and odd can have it.
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
	c.reset(s, http3.ErrCodeRequestCanceled)
	return nil
}
