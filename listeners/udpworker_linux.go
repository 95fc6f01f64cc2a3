package listeners

import (
	"errors"
	"log/slog"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"domainpark/query"
)

// udpWorker answers the queries of one socket on a thread of its own. It owns
// its buffers and its Query; once made, it allocates nothing.
type udpWorker struct {
	fd       int
	group    *udpGroup
	thread   atomic.Int32 // the kernel's number of the thread it runs on; 0: it does not run
	resolver Resolver     // what guard stands before
	guard    *guard
	log      *slog.Logger
	lines    throttle
	faults   *faults
	drops    dropsCounter

	query   query.Query
	in      received
	turn    int // which datagram of the batch is next to be resolved
	out     outgoing
	used    int                       // how much of answers has answers
	answers [batch * answerBytes]byte // the answers of a batch, one behind the other
}

// newUDPWorker makes a worker for the socket fd, of g's address. drops is where
// it counts what the kernel drops of the socket.
func newUDPWorker(fd int, g *udpGroup, cfg *Config, r Resolver, drops *atomic.Uint64) *udpWorker {
	before := guardOf(r, cfg.Log)
	w := &udpWorker{fd: fd, group: g, resolver: before.resolver, guard: before, log: cfg.Log, faults: cfg.faults, drops: newDropsCounter(fd, drops)}
	w.query.Transport = query.UDP
	w.query.Worker = cfg.nextWorker()
	w.in.init(g.address.Addr().IsUnspecified())
	w.out.init(cutsSegments(fd))
	return w
}

// run answers until the group stops, then what the socket still holds.
func (w *udpWorker) run() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	w.thread.Store(int32(unix.Gettid()))
	defer w.drops.finish()
	defer w.thread.Store(0)
	for {
		if err := w.work(); err != errFault {
			return err
		}
	}
}

// work is run until a panic, whose round costs its datagrams: then it returns
// errFault. The pause keeps one that comes again and again from filling a CPU.
func (w *udpWorker) work() (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			w.faults.note(cause, query.UDP.String(), w.query.Client)
			time.Sleep(retryAfter)
			err = errFault
		}
	}()
	for !w.group.stopping.Load() {
		// Wait for one datagram, then take what else is there.
		if err := w.round(unix.MSG_WAITFORONE); err != nil {
			return err
		}
	}
	if w.group.inherited {
		return nil
	}
	return w.drain()
}

// settle is how long a CPU that has chosen a socket for a datagram may take to
// put it there: it does so at once, unless a hypervisor takes it away.
const settle = time.Millisecond

// leave sees to it that the socket gets no more datagrams, so that what it holds
// is finite. Where it can't be taken out of its group, datagrams that come while
// it is emptied are lost, as those that come afterwards are.
func (w *udpWorker) leave() {
	err := leaveGroup(w.fd, w.group.address.Addr())
	if err == nil {
		return
	}
	w.log.Debug("UDP socket can't leave its group, its last datagrams are dropped", "error", err)
	if err := refuseMore(w.fd); err != nil {
		w.log.Warn("UDP socket can't be kept from receiving while it is emptied", "error", err)
	}
}

// drain answers what the socket holds, until it holds nothing at two looks. The
// time limit only matters when it could not be kept from receiving.
func (w *udpWorker) drain() error {
	for looks := 0; looks < 2; {
		err := w.round(unix.MSG_DONTWAIT)
		switch {
		case err == errNothing:
			looks++
			time.Sleep(settle)
		case err != nil:
			return err
		case time.Now().After(w.group.drainBy):
			return nil
		}
	}
	return nil
}

// errNothing tells that a socket holds no datagram.
var errNothing = errors.New("no datagram")

// round receives a batch, resolves it and sends the answers. Without a datagram
// it returns nil, or errNothing when flags say not to wait. Other errors mean
// that the socket is unusable.
func (w *udpWorker) round(flags uintptr) error {
	n, errno := w.in.receive(w.fd, flags)
	switch errno {
	case 0:
		w.resolve(n)
		w.send()
		w.drops.look(w.query.Received)
		return nil
	case unix.EAGAIN: // nothing there, or the wake-up of a waiting worker
		if flags&unix.MSG_DONTWAIT != 0 {
			return errNothing
		}
		w.drops.look(time.Now())
		return nil
	case unix.EINTR:
		return nil
	case unix.EBADF, unix.ENOTSOCK, unix.EINVAL, unix.EFAULT, unix.ENOSYS:
		return os.NewSyscallError("recvmmsg", errno)
	}
	w.complain("UDP socket can't receive, trying on", errno)
	time.Sleep(retryAfter) // ENOMEM, ENETDOWN and the like pass
	return nil
}

// resolve turns the n datagrams received into answers to be sent.
func (w *udpWorker) resolve(n int) {
	w.out.reset()
	w.turn, w.used = 0, 0
	w.query.Received = time.Now()
	for w.turn < n {
		w.resolveFrom(n)
	}
}

// resolveFrom resolves the datagrams that are left of n. A panic ends it, costs
// the query that caused it, and the next call goes on behind that: the guard's
// defer once a batch instead of once a query is 70 instructions less for each.
func (w *udpWorker) resolveFrom(n int) {
	q, resolver := &w.query, w.resolver
	defer func() {
		if cause := recover(); cause != nil {
			w.guard.report(cause, q)
		}
	}()
	out := w.answers[:min(w.used, len(w.answers))] // more there is when an answer was longer than answerBytes
	for w.turn < n {
		i := w.turn
		w.turn++
		var ok bool
		if q.Client, ok = w.in.client(i); !ok {
			continue // the wake-up of a socket that is shut down
		}
		if !answerable(q.Client) {
			continue
		}
		q.Message = w.in.message(i)
		start := len(out)
		out = resolver.Resolve(out, q)
		if len(out) > start {
			w.out.add(out[start:], w.in.reply(i))
			w.used = len(out)
		}
	}
}

// send sends the answers. One that the kernel refuses is skipped: a firewall
// (EPERM), no route, or too large. So every call makes progress. When the
// network takes nothing any more (EAGAIN, after wakeUp), the batch is given up.
func (w *udpWorker) send() {
	w.out.gather()
	for !w.out.empty() {
		at := w.out.next
		switch errno := w.out.send(w.fd); errno {
		case 0:
			if refused := w.out.judge(at); refused != 0 {
				w.group.tellRefused(w.log, w.out.client(at), refused)
			}
		case unix.EINTR:
		case unix.EAGAIN:
			w.out.reset()
			w.complain("UDP answers not sent", errno)
		default:
			if w.out.part(errno) {
				continue
			}
			w.out.skip()
			w.complain("UDP answer not sent", errno)
		}
	}
}

func (w *udpWorker) complain(what string, errno unix.Errno) {
	now := time.Now()
	if left, ok := w.lines.allow(now, complainEvery); ok {
		w.log.Warn(what, "listener", w.group.address.String(), "error", errno.Error(), "more", left)
	}
}
