package listeners

import "time"

// hasRoom is closed when more connections may be accepted. A nil gate always has room.
func (g *handshakeGate) hasRoom() <-chan struct{} {
	if g == nil {
		return always
	}
	room, crowd := g.look()
	if crowd > 0 {
		g.complain(crowd)
	}
	return room
}

// look is hasRoom. Crowd is how many wait if there is no room any more, and zero when
// there is, or was none before.
func (g *handshakeGate) look() (room <-chan struct{}, crowd int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.open, g.room == nil && g.waiting() < g.crowd:
		return always, 0
	case g.room == nil:
		g.room = make(chan struct{})
		crowd = g.waiting()
	}
	return g.room, crowd
}

// complain says why no connections are accepted. The caller does not hold mu: what writes
// the log may wait.
func (g *handshakeGate) complain(crowd int) {
	if left, ok := g.lines.allow(time.Now(), complainEvery); ok {
		g.log.Warn("no connections are accepted over DoT and DoH for a moment: more TLS handshakes wait than the CPUs can compute; "+
			"hint: if handshakes_waiting stays high and it is no attack, more CPUs", "waiting", crowd, "more", left)
	}
}

// waitingNow is how many handshakes wait.
func (g *handshakeGate) waitingNow() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waiting()
}

// always is closed.
var always = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// drain has everything accepted that is there.
func (g *handshakeGate) drain() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = true
	if g.room != nil {
		close(g.room)
		g.room = nil
	}
}
