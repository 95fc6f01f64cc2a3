package listeners

import "time"

// lease is how long a place is kept when others wait: twice as long as it takes to compute
// all that a CPU has a place for. So half of what it computes can be handshakes, however
// busy others keep it.
func (g *handshakeGate) lease() time.Duration { return 2 * placesPerCPU * g.cost }

// waiting is how many wait.
func (g *handshakeGate) waiting() int { return g.first.n + g.others.n }

// tell takes p out of those that wait, and tells it why.
func (g *handshakeGate) tell(p *passage, err error) {
	if p.in == &g.first {
		delete(g.ahead, p.network)
	}
	p.in.remove(p)
	if g.room != nil && g.waiting() <= g.crowd/2 {
		close(g.room)
		g.room = nil
	}
	if err == errTurnedAway {
		g.turnedAway[p.transport].Add(1)
	}
	p.word <- err
}

// trim turns away who has waited for too long. The caller holds mu, as for all here but ring
// and goOff.
func (g *handshakeGate) trim(now time.Time) {
	for _, l := range []*line{&g.others, &g.first} {
		for l.front != nil && (g.waiting() > g.queued || !now.Before(l.front.until)) {
			g.tell(l.front, errTurnedAway)
		}
	}
}

// wake sees to it that move is called, since somebody waits: if there is a place, when
// everybody else who is ready has had a turn, and in any case when a lease is over.
func (g *handshakeGate) wake(now time.Time) {
	if g.inside.n < g.places && !g.bell.ring() {
		g.move(now)
	}
	if g.waiting() > 0 && !g.armed {
		g.arm(now)
	}
}

// move does what is due: it turns away who has waited for too long, ends leases and
// lets in who is next. A lease that ended late shortens the one behind it, so that the
// number of places a second is kept by a server that is too busy to call move in time.
func (g *handshakeGate) move(now time.Time) {
	g.trim(now)
	for g.waiting() > 0 {
		since := now
		if g.inside.n >= g.places {
			late := now.Sub(g.inside.front.since) - g.lease()
			if late < 0 {
				return
			}
			since = now.Add(-min(late, g.lease()))
			g.inside.remove(g.inside.front)
		}
		p := g.next(now)
		g.tell(p, nil)
		g.inside.add(p, since)
	}
}

// ring is what the bell does.
func (g *handshakeGate) ring() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.bell.rung = false
	g.move(time.Now())
}

// next is who goes next of those that wait.
func (g *handshakeGate) next(now time.Time) *passage {
	l := &g.first
	if g.passed++; l.n == 0 || g.others.n > 0 && g.passed%othersEvery == 0 {
		l = &g.others
	}
	if g.newest = now.Sub(l.front.since) >= l.front.patience/2 && !g.newest; g.newest {
		return l.back
	}
	return l.front
}

// arm has move called when the next lease is over, or might be.
func (g *handshakeGate) arm(now time.Time) {
	left := g.lease()
	if g.inside.n > 0 {
		left -= now.Sub(g.inside.front.since)
	}
	g.armed = true
	if g.alarm == nil {
		g.alarm = time.AfterFunc(left, g.goOff)
	} else {
		g.alarm.Reset(left)
	}
}

// goOff is what the alarm does.
func (g *handshakeGate) goOff() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.armed = false
	now := time.Now()
	g.move(now)
	if g.waiting() > 0 {
		g.arm(now)
	}
}
