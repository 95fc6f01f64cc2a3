package listeners

// hasRoom is closed when more connections may be accepted. A nil gate always has room.
func (g *handshakeGate) hasRoom() <-chan struct{} {
	if g == nil {
		return always
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.open, g.room == nil && g.waiting() < g.crowd:
		return always
	case g.room == nil:
		g.room = make(chan struct{})
	}
	return g.room
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
