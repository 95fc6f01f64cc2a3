package listeners

import "time"

// restTime is how long a goroutine that has done a handshake waits for another.
const restTime = time.Second

// handshakers hands connections to goroutines that have done a handshake before.
// A handshake makes a goroutine's stack grow to 8 KiB in two steps, each of which
// copies it: 4 % of what a connection costs. So goroutines are used again for
// handshakes, and what comes behind one is done by a new goroutine, which has a
// small stack for the whole life of the connection.
type handshakers chan *stream

// begin hands c to a goroutine that rests, and tells whether there is one.
func (h handshakers) begin(c *stream) bool {
	select {
	case h <- c:
		return true
	default:
		return false
	}
}

// work does handshakes, c's first, until there are no more.
func (h handshakers) work(c *stream) {
	rest := time.NewTimer(restTime)
	defer rest.Stop()
	for {
		if c.handshake() {
			go c.run()
		} else {
			c.server.finish(c)
		}
		rest.Reset(restTime)
		select {
		case c = <-h:
		case <-rest.C:
			return
		}
	}
}
