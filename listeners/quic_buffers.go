package listeners

import (
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
)

// quicBufferBytes is the size that quic-go asks the kernel for, for the receive
// and the send buffer of a socket (its sys_conn_buffers). Linux counts a buffer
// twice: once for data and once for its own bookkeeping (socket(7)).
const quicBufferBytes = 7 << 20 / 2

var adviseOnce sync.Once

// adviseBuffers says once, in our log, what quic-go would say through package
// log for every socket: that the kernel's limit for UDP buffers is low. quic-go
// has no other switch for it than the environment.
func adviseBuffers(log *slog.Logger) {
	adviseOnce.Do(func() {
		_ = os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
		for _, name := range []string{"rmem_max", "wmem_max"} {
			text, _ := os.ReadFile("/proc/sys/net/core/" + name)
			if limit, low := lowBuffer(string(text)); low {
				log.Warn("UDP buffers are small: DoQ and HTTP/3 may lose packets in bursts",
					"sysctl", "net.core."+name, "bytes", limit, "hint", "sysctl -w net.core."+name+"="+strconv.Itoa(quicBufferBytes))
			}
		}
	})
}

// lowBuffer tells whether text, the content of a file in /proc/sys, is a number
// below quicBufferBytes. Where there is no such file we know nothing.
func lowBuffer(text string) (limit int, low bool) {
	limit, err := strconv.Atoi(strings.TrimSpace(text))
	return limit, err == nil && limit < quicBufferBytes
}
