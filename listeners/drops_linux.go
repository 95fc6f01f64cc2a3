package listeners

import (
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// lookAtDropsEvery is how often a worker asks the kernel what it dropped.
//
// It asks for SO_MEMINFO instead of having SO_RXQ_OVFL tell with each datagram:
// that is the same number, but takes a control message for each datagram, which
// the kernel writes from the first drop on for ever, 64 a batch, when there is
// the least time for it. This is one system call a second.
const lookAtDropsEvery = time.Second

// dropsCounter follows the kernel's count of one socket. It belongs to the
// socket's worker.
type dropsCounter struct {
	fd     int
	total  *atomic.Uint64 // of all sockets of the address
	latest uint32         // what the kernel said; it wraps around
	looked time.Time
}

// newDropsCounter begins at what the socket has dropped until now: an inherited
// one has a past.
func newDropsCounter(fd int, total *atomic.Uint64) dropsCounter {
	c := dropsCounter{fd: fd, total: total}
	c.latest, _ = socketDrops(fd)
	return c
}

// look adds what was dropped since the last look, unless that was a moment ago.
func (c *dropsCounter) look(now time.Time) {
	if now.Sub(c.looked) < lookAtDropsEvery {
		return
	}
	c.looked = now
	c.finish()
}

// finish adds what was dropped since the last look.
func (c *dropsCounter) finish() {
	if n, ok := socketDrops(c.fd); ok {
		c.total.Add(uint64(n - c.latest))
		c.latest = n
	}
}

// socketDrops is sk_drops of a socket; false where the kernel does not tell
// (before Linux 4.12).
func socketDrops(fd int) (uint32, bool) {
	var info [9]uint32 // SK_MEMINFO_VARS, linux/sock_diag.h
	const dropped = 8  // SK_MEMINFO_DROPS
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	return info[dropped], errno == 0 && size == uint32(unsafe.Sizeof(info))
}
