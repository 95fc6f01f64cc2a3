package listeners

import (
	"sync"
	"sync/atomic"
	"time"

	"domainpark/query"
)

const (
	// flushBytes is when answers leave although more are to come: they and one
	// more still fit a TLS record, which holds 16 KiB (RFC 8446 §5.1).
	flushBytes = 16<<10 - 1280

	// keptOutBytes is the largest buffer of answers that is kept for the next
	// connection that has some.
	keptOutBytes = 32 << 10
)

// scratch is what a stream needs only while it answers.
type scratch struct {
	query query.Query
	out   []byte
}

var scratches = sync.Pool{New: func() any {
	s := &scratch{out: make([]byte, 0, 16<<10)}
	s.query.Worker = int(scratchesMade.Add(1))
	return s
}}

// scratchesMade numbers the scratches, as Query.Worker: a CPU gets the same one again
// and again, and so counts where it counted before, whichever connection asks.
var scratchesMade atomic.Uint32

// answer answers every message that is complete, all in one write if they fit.
func (c *stream) answer() error {
	message := c.next()
	if message == nil {
		return nil
	}
	err := c.answerFrom(message)
	c.idleBy = c.received.Add(c.left(c.server.idle(), c.received))
	c.messageBy = c.received.Add(c.server.timeouts().Message) // of one that has begun behind them
	return err
}

// next is the next complete message, nil when there is none. What is announced
// to be shorter than a header is also one, or as much of it as has arrived: the
// resolver counts it, answers nothing, and so ends the connection.
func (c *stream) next() []byte {
	message, err := c.in.next()
	if err == errShort {
		message = c.in.unread()[lengthBytes:]
		message = message[:min(len(message), headerBytes-1)]
	}
	return message
}

// answerFrom answers message and the complete ones behind it. What is answered
// before an error is sent all the same.
func (c *stream) answerFrom(message []byte) error {
	s := scratches.Get().(*scratch)
	defer s.release()
	out, q := s.out, &s.query
	q.Client, q.Transport = c.client, c.server.transport
	q.Received, q.Idle = c.received, c.left(c.server.keepalive(), c.received)
	var err error
	for message != nil && err == nil {
		q.Message, q.Verdict = message, query.Pending
		more := c.account.Touch(c.received)
		if !more || c.secure != nil && c.secure.spent {
			q.Idle = 0
		}
		if out, err = appendFrame(out, c.server.resolver, q); err != nil {
			if q.Verdict == query.Dropped {
				err = errDenied
			}
			break
		}
		if len(out) >= flushBytes {
			if err := c.write(out); err != nil {
				return err
			}
			out = out[:0]
		}
		if !more {
			err = errSpent
			break
		}
		message = c.next()
	}
	if cap(out) <= keptOutBytes {
		s.out = out[:0]
	}
	if len(out) > 0 {
		if failed := c.write(out); failed != nil {
			return failed
		}
	}
	return err
}

// release gives s back, and lets go of the message.
func (s *scratch) release() {
	s.query.Message = nil
	scratches.Put(s)
}

// write sends answers. The client must take all of them within one timeout.
func (c *stream) write(answers []byte) (err error) {
	if c.secure != nil {
		_, err = c.secure.tls.Write(answers)
	} else {
		_, err = c.raw.Write(answers)
	}
	c.stuck = err != nil
	if c.raw.fresh() {
		c.received = time.Now() // its time begins when it has ours again
	}
	return err
}
