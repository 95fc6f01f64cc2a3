package listeners

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// faults takes note of panics outside the resolver, whose own are guard's: a
// mistake of a listener, of an account or of a library costs the connection that
// brought it about, and the server lives on. What a panic costs where:
//
//   - a goroutine of a connection, a handshake, an accepted socket: that
//     connection, whose account and buffers are given back;
//   - a stream of QUIC or a callback of its handshake: that connection, too, but a
//     request over HTTP/3 that dohHandler was about to answer its stream alone;
//   - a round of a UDP worker: the datagrams of that round, 64 at most;
//   - a loop that accepts: the set, which drains the others and ends with an
//     error, so that the service manager starts it anew. Half a server that
//     nobody notices would be worse.
//
// Goroutines and timers that only close or set deadlines recover nothing.
type faults struct {
	log   *slog.Logger
	count atomic.Uint64
	lines throttle
}

// note counts a panic and logs one in complainEvery: clients could bring about
// more. Nil faults count nothing; they are those of listeners without a Set.
func (f *faults) note(cause any, transport string, client netip.AddrPort) {
	if f == nil {
		return
	}
	f.count.Add(1)
	if left, ok := f.lines.allow(time.Now(), complainEvery); ok {
		f.log.Error("panic in a listener, which cost a connection; please report it", "panic", fmt.Sprint(cause),
			"transport", transport, "client", client.String(), "more", left, "stack", string(debug.Stack()))
	}
}

// errFault is what becomes of a panic where an error is expected.
var errFault = errors.New("internal error; the server has logged it")

// stops is for the deferred call of a loop that a listener can't do without. It
// turns a panic into the error that the loop ends with.
func (f *faults) stops(err *error, transport string) {
	if cause := recover(); cause != nil {
		f.note(cause, transport, netip.AddrPort{})
		*err = fmt.Errorf("panic: %v", cause)
	}
}

// aborts is for the deferred call of an HTTP handler. It has net/http end the
// connection without a word of its own.
func (f *faults) aborts(transport string, r *http.Request) {
	cause := recover()
	if cause == nil {
		return
	}
	if cause != http.ErrAbortHandler {
		f.note(cause, transport, clientAddr(r))
	}
	panic(http.ErrAbortHandler)
}
