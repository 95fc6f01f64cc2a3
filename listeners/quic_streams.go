package listeners

import (
	"context"
	"errors"
	"slices"

	"github.com/quic-go/quic-go"
)

// streamQueue hands out the streams that a client opens on one connection.
type streamQueue struct {
	accept func(context.Context) (*quic.Stream, error) // of the connection
	late   int                                         // how many are still taken when ctx has ended
}

// next waits for a stream. It returns nil when the connection or ctx has ended. What
// had arrived by the end of ctx is handed out all the same, as accept does it, but no
// more than may be open at once: a client that always has another one on its way
// would keep a server that stops, or a connection that is to end, for as long as it
// likes.
func (q *streamQueue) next(ctx context.Context) *quic.Stream {
	if ctx.Err() != nil {
		if q.late == 0 {
			return nil
		}
		q.late--
	}
	s, err := q.accept(ctx)
	if err != nil {
		return nil
	}
	return s
}

// closedInOrder tells whether err is what a stream says whose connection we have closed
// with one of codes.
func closedInOrder(err error, codes ...quic.ApplicationErrorCode) bool {
	closed, ok := errors.AsType[*quic.ApplicationError](err)
	return ok && !closed.Remote && slices.Contains(codes, closed.ErrorCode)
}
