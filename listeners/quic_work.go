package listeners

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
)

// quicWork knows what a connection is busy with. It closes a connection that
// had nothing to do for too long: QUIC's own idle timeout never strikes a
// client that sends PING frames.
type quicWork struct {
	conn    *quic.Conn
	goodbye quic.ApplicationErrorCode
	idle    *time.Timer
	timeout func() time.Duration // for how long it may now be idle

	streams atomic.Int32
	last    atomic.Int64  // Unix nanoseconds when the latest stream ended
	none    chan struct{} // has an element when a stream ended and none is left
}

func newQUICWork(conn *quic.Conn, goodbye quic.ApplicationErrorCode, timeout func() time.Duration) *quicWork {
	w := &quicWork{conn: conn, goodbye: goodbye, timeout: timeout, none: make(chan struct{}, 1)}
	w.last.Store(time.Now().UnixNano())
	w.idle = time.AfterFunc(time.Hour, w.check) // check uses w.idle: set the time when it is there
	w.idle.Reset(timeout())
	return w
}

func (w *quicWork) begin() { w.streams.Add(1) }

// end says that a stream ended now. A stream that was served without waiting
// ended when it began, as far as anything here is concerned.
func (w *quicWork) end(now time.Time) {
	w.last.Store(now.UnixNano())
	if w.streams.Add(-1) == 0 {
		select {
		case w.none <- struct{}{}:
		default:
		}
	}
}

func (w *quicWork) sinceLast() time.Duration { return time.Since(time.Unix(0, w.last.Load())) }

// check closes the connection if it is idle, and otherwise sets the timer to
// the next moment when it could be. That is cheaper than a timer set by every
// stream.
func (w *quicWork) check() {
	rest := w.timeout()
	if w.streams.Load() == 0 {
		rest -= w.sinceLast()
	}
	if rest <= 0 {
		_ = w.conn.CloseWithError(w.goodbye, "")
		return
	}
	w.idle.Reset(rest)
}

// drain waits until the streams in progress are done, for at most grace, and
// closes the connection. No stream may begin any more. On a connection that is
// gone there is nothing to wait for.
func (w *quicWork) drain(grace time.Duration) {
	if w.conn.Context().Err() == nil {
		ctx, cancel := context.WithTimeout(w.conn.Context(), grace)
		defer cancel()
		w.settle(ctx)
	}
	w.idle.Stop()
	_ = w.conn.CloseWithError(w.goodbye, "")
}

// leastLinger is how long the last answer gets to leave when the round trip is
// shorter than our own scheduling.
const leastLinger = 10 * time.Millisecond

// settle waits until nothing is left to do or ctx ends.
//
// quic-go throws away what it has not sent yet when a connection is closed, and
// does not tell when a stream was acknowledged. Two round trips after the last
// answer are enough unless a packet was lost.
func (w *quicWork) settle(ctx context.Context) {
	for w.streams.Load() > 0 {
		select {
		case <-w.none:
		case <-ctx.Done():
			return
		}
	}
	linger := max(2*w.conn.ConnectionStats().SmoothedRTT, leastLinger) - w.sinceLast()
	select {
	case <-time.After(linger):
	case <-ctx.Done():
	}
}
