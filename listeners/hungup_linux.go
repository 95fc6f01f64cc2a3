package listeners

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// hungUp tells whether nobody waits for an answer on conn any more: its client has
// ended or reset it, or we have closed it, or its time is over. It takes nothing of what
// has arrived, and does not wait.
func hungUp(conn syscall.RawConn) (yes bool) {
	err := conn.Read(func(fd uintptr) bool {
		var next [1]byte
		n, errno := call(unix.SYS_RECVFROM, fd, next[:], unix.MSG_DONTWAIT|unix.MSG_PEEK)
		yes = errno == 0 && n == 0 || errno != 0 && errno != unix.EAGAIN
		return true
	})
	return yes || err != nil
}
