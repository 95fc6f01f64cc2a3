package listeners

import (
	"net"
	"time"
)

// greeting is what a client of DoH has sent before crypto/tls hears of it. It is
// read by the records of DoT, which charge a handshake at its hello, at the
// doorstep or, when it is not there by then, by the goroutine of the connection.
// When crypto/tls has read all of it, net/http and HTTP/2 have the socket as it is.
type greeting struct{ records }

func newGreeting(c *accountedConn, patience time.Duration) *greeting {
	return &greeting{records{socket: newSocket(tcpBelow(c.Conn), patience)}}
}

// tcpBelow is what c, a connection of a lingering socket, reads from; any other is
// its own.
func tcpBelow(c net.Conn) net.Conn {
	if l, ok := c.(*lingeringConn); ok {
		return l.TCPConn
	}
	return c
}

// read hands on what has arrived, as much as fits.
func (g *greeting) read(p []byte) int {
	n := copy(p, g.box.unread())
	g.box.from += n
	return n
}

// paid implements tolled.
func (c *accountedConn) paid() toll { return c.toll }

// forget ends the greeting, when it has been read or nobody will read it.
func (c *accountedConn) forget() {
	if c.greeting != nil {
		c.greeting.release()
		c.greeting = nil
	}
}
