package listeners

import "time"

// placesPerCPU is how many handshakes are computed at once: no more than make others wait
// for mostDelay, and one in any case.
func (g *handshakeGate) placesPerCPU() int {
	return int(min(max(mostDelay/g.cost, 1), mostPlacesPerCPU))
}

// full tells whether there is no place.
func (g *handshakeGate) full() bool { return g.inside.n >= g.cpus*g.placesPerCPU() }

// lease is how long a place is kept when others wait: twice as long as it takes to compute
// all that a CPU has a place for. So half of what it computes can be handshakes, however
// busy others keep it.
func (g *handshakeGate) lease() time.Duration {
	return 2 * time.Duration(g.placesPerCPU()) * g.cost
}

// learn notes what a full handshake took. Since all begins with mostDelay, a key of RSA
// with 4096 bits is known after forty of them, one that is usual after sixty. A step is as
// large down as up, so that it is the average that is learnt, and one that is held up makes it
// no more than twice as long.
//
// What a busy CPU takes belongs to it: leases are to last as long. With no more than twice
// the cost of any one noted, half of the answers over TCP came within 150 ms instead of 5
// beside another process on one CPU, with four times within 40: leases ended before their
// handshakes, and let in everybody.
//
// A client has no say in it. What has failed, what resumes a session, and what is computed
// between two reads from a client that dawdles is not learnt from, for it costs less: who
// makes many of those would have all others let in to a key that is slow.
func (g *handshakeGate) learn(took time.Duration) {
	const step = 16
	took = min(took, step*g.cost, mostCost)
	g.cost = max(g.cost+(took-g.cost)/step, leastCost)
}

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

// trim turns away who has waited for longest when too many wait. The caller holds mu, as
// for all here but turnAway, ring and goOff.
func (g *handshakeGate) trim() {
	for _, l := range []*line{&g.others, &g.first} {
		for l.front != nil && g.waiting() > g.queued {
			g.tell(l.front, errTurnedAway)
		}
	}
}

// turnAway is for p, if it still waits: it has done so for too long.
func (g *handshakeGate) turnAway(p *passage) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.in == &g.first || p.in == &g.others {
		g.tell(p, errTurnedAway)
	}
}

// wake sees to it that move is called, since somebody waits: if there is a place, when
// everybody else who is ready has had a turn, and in any case when a lease is over.
func (g *handshakeGate) wake(now time.Time) {
	if !g.full() && !g.bell.ring() {
		g.move(now)
	}
	if g.waiting() > 0 && !g.armed {
		g.arm(now)
	}
}

// move ends leases that are over and lets in who is next. A lease that ended late
// shortens the one behind it, so that the number of places a second is kept by a server
// that is too busy to call move in time.
func (g *handshakeGate) move(now time.Time) {
	for g.waiting() > 0 {
		since := now
		if g.full() {
			late := now.Sub(g.inside.front.since) - g.lease()
			if late < 0 {
				return
			}
			since = now.Add(-min(late, g.lease()))
			g.inside.remove(g.inside.front)
			if g.full() {
				continue // there are fewer places than there were
			}
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
