package listeners

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// Requests that have not the usual form are read here frame by frame, as they arrive,
// and answered by dohHandler. http3 could do that as well, but takes frames that mean
// nothing for as long as a client likes: 600 of two bytes fit into a packet, and cost
// 190 to 270 µs.

// odd answers the request in s, or says what is wrong with it.
func (c *h3Conn) odd(s *quic.Stream) {
	defer c.aborted(s)
	in := newH3Stream(s, c.tire)
	w := &h3Writer{to: s, request: in, header: make(http.Header)}
	r, err := c.request(in, w)
	switch {
	case err == errH3TooLong:
		c.tooLong(w)
	case err != nil:
		c.lost(s, err)
		return
	default:
		c.handler.serve(w, r, c.refusals)
	}
	if err := w.finish(); err != nil {
		if in.fault != nil {
			c.tire()
		}
		c.abandon(s, err, http3.ErrCodeRequestCanceled)
		return
	}
	c.calm()
	s.CancelRead(quic.StreamErrorCode(http3.ErrCodeNoError)) // nothing, if all was read: RFC 9114 §4.1.2
	_ = s.Close()                                            // fails when the client has cancelled
}

// request reads the header of a request, whose body is in.
func (c *h3Conn) request(in *h3Stream, w *h3Writer) (*http.Request, error) {
	var fields webFields
	meaning, err := in.header(&fields)
	if err != nil {
		return nil, err
	}
	r, err := fields.httpRequest(3, c.conn.RemoteAddr().String())
	if err != nil {
		return nil, in.fail(h3Malformed)
	}
	if meaning.expects {
		w.send(h3Continue)
	}
	w.head = meaning.head
	r.ContentLength, r.Body = int64(meaning.length), io.NopCloser(in)
	return r, nil
}

// h3Continue is an interim response (RFC 9110 §15.2.1).
var h3Continue = func() []byte {
	section := h3Encode(":status", "100")
	return append([]byte{h3Headers, byte(len(section))}, section...)
}()

// tooLong says that the header is too long.
func (c *h3Conn) tooLong(w *h3Writer) {
	c.handler.common(w.header)
	w.header["Access-Control-Allow-Origin"] = anyOrigin
	refuseOn(w, c.refusals, c.handler.charged(errHeader, remote(c.conn), time.Now()))
}

// lost charges a request that ended before dohHandler has seen it, with err, as one.
// What is lost because we end the connection is charged to nobody.
func (c *h3Conn) lost(s *quic.Stream, err error) {
	if !c.tire() || !endedInOrder(s) {
		c.charge()
	}
	c.abandon(s, err, http3.ErrCodeRequestIncomplete)
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

// abandon ends s, or the connection, by the fault that err is, or else s with code.
func (c *h3Conn) abandon(s *quic.Stream, err error, code http3.ErrCode) {
	if fault, ok := errors.AsType[*h3Fault](err); ok {
		code = fault.code
		if fault.connection {
			c.violated(fault.code, fault.reason)
			return
		}
	}
	c.reset(s, code)
}

// reset ends both directions of s.
func (c *h3Conn) reset(s *quic.Stream, code http3.ErrCode) {
	s.CancelRead(quic.StreamErrorCode(code))
	s.CancelWrite(quic.StreamErrorCode(code))
}

// aborted is for a deferred call. A panic of a handler costs its stream, as that of any
// other version of HTTP does.
func (c *h3Conn) aborted(s *quic.Stream) {
	cause := recover()
	if cause == nil {
		return
	}
	if cause != http.ErrAbortHandler {
		c.handler.cfg.faults.note(cause, c.handler.transport.String(), remote(c.conn))
	}
	c.reset(s, http3.ErrCodeInternalError)
}
