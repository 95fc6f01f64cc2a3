package listeners

import (
	"errors"
	"time"

	"github.com/quic-go/quic-go"

	"domainpark/query"
)

// A stream costs us a goroutine, buffers and a timer before there is a query on it that
// the resolver could charge. What a client resets, leaves or ends before its query is
// whole, and a message that is none, is charged as a request without a query is over HTTP.
// As over HTTP/2 and HTTP/3, each stream that its client breaks off costs the connection
// patience, and each answer gives some back: who is under no limit does not go on for ever
// either. What is lost because we end the connection, to make room, because the server
// stops, or after a panic, is charged to nobody.

// failed ends s, on which there was no answer to q because of err.
func (c *doqConn) failed(s *quic.Stream, q *query.Query, err error) {
	_, violation := errors.AsType[doqViolation](err)
	switch {
	case violation:
		c.charge()
		c.abort(doqProtocolError, err.Error())
		return
	case q.Verdict == query.Dropped: // the resolver has charged it
		c.refusals.add()
	case errors.Is(err, errBusy):
		c.charge()
	case errors.Is(err, errSilent): // a panic of the resolver, which has charged it
	default:
		c.broken(q, err)
	}
	code := resetCode(err, q.Verdict)
	s.CancelRead(code)
	s.CancelWrite(code)
}

// broken is failed for what the client has broken off or left, and for the end of its
// connection. The resolver has charged a query that was cancelled when it was whole (RFC
// 9250 §4.3.1), or whose answer is not taken.
func (c *doqConn) broken(q *query.Query, err error) {
	patient := c.tire()
	if q.Message == nil && !(patient && closedInOrder(err, doqNoError, doqExcessiveLoad, doqInternalError)) {
		c.charge()
	}
	if !patient {
		c.abort(doqExcessiveLoad, "too many streams without a query") // RFC 9250 §4.3
	}
}

// charge charges the client for a request of which the resolver gets to know nothing.
func (c *doqConn) charge() {
	if !c.cfg.admits(remote(c.conn), query.DoQ, time.Now()) {
		c.refusals.add()
	}
}

// abort closes the connection because of what the client did.
func (c *doqConn) abort(code quic.ApplicationErrorCode, reason string) {
	c.cfg.Log.Debug("DoQ connection closed", "client", c.conn.RemoteAddr().String(), "error", reason)
	_ = c.conn.CloseWithError(code, reason)
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
