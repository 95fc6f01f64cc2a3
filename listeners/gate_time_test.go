package listeners

import (
	"crypto/tls"
	"log/slog"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"domainpark/query"
)

// compute has n handshakes take their time, one after the other.
func compute(t *testing.T, g *handshakeGate, n int, took time.Duration) {
	t.Helper()
	for range n {
		p := visitorOf(g, 1, time.Minute)
		if err := p.enter(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(took)
		p.whole = true
		g.leave(p)
	}
}

// A lease is as long as it takes to compute what there is to compute, not as
// long as somebody makes it take. Slow keys have fewer places.
func TestALeaseFollowsWhatHandshakesCost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gateOf(1)
		for _, c := range []struct {
			took, want time.Duration
			places     int
		}{
			{time.Millisecond, time.Millisecond, 1},
			{7 * time.Millisecond, 7 * time.Millisecond, 1}, // RSA with 4096 bits
			{300 * time.Microsecond, 300 * time.Microsecond, 5},
			{60 * time.Microsecond, 60 * time.Microsecond, mostPlacesPerCPU},
			{time.Microsecond, leastCost, mostPlacesPerCPU}, // what fails at once
			{time.Minute, mostCost, 1},
		} {
			compute(t, g, 1000, c.took)
			if got := g.cost; got.Round(c.want/20) != c.want || g.placesPerCPU() != c.places {
				t.Errorf("handshakes of %s are thought to take %s, and have %d places; want %s, %d", c.took, got, g.placesPerCPU(), c.want, c.places)
			}
			if got, want := g.lease(), 2*time.Duration(c.places)*g.cost; got != want {
				t.Errorf("after handshakes of %s a lease is %s, want %s", c.took, got, want)
			}
		}
	})
}

// A key is known before many were let in, be it quick or slow.
func TestAKeyIsLearntSoon(t *testing.T) {
	const slow = 8 * time.Millisecond // RSA with 4096 bits
	for _, c := range []struct {
		took, from, to time.Duration
		within         int
	}{
		{usualCost, 0, usualCost * 6 / 5, 60},
		{slow, slow * 4 / 5, slow, 40},
	} {
		synctest.Test(t, func(t *testing.T) {
			g := gateOf(1)
			compute(t, g, c.within, c.took)
			if g.cost < c.from || g.cost > c.to {
				t.Errorf("the first %d take %s each, and are thought to take %s", c.within, c.took, g.cost)
			}
		})
	}
}

// A few that are held up, by whatever it is, leave others half of their places.
func TestHandshakesThatAreHeldUpAreNotDear(t *testing.T) {
	for held, others := range map[time.Duration]int{1500 * time.Microsecond: 15, time.Second: 200} {
		synctest.Test(t, func(t *testing.T) {
			g := gateOf(1)
			g.cost = usualCost
			for range 20 {
				compute(t, g, 1, held)
				if g.placesPerCPU() < mostPlacesPerCPU/2 {
					t.Fatalf("with %d others for each that takes %s there are %d places of %d", others, held, g.placesPerCPU(), mostPlacesPerCPU)
				}
				compute(t, g, others, usualCost)
			}
		})
	}
}

// What a busy CPU takes is the time of handshakes as well: a lease does not end before them.
func TestALeaseLastsWhenTheCPUIsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gateOf(1)
		g.cost = usualCost
		const slice, every = 4 * time.Millisecond, 8 // it goes to another process
		for range 20 {
			compute(t, g, every-1, usualCost)
			compute(t, g, 1, usualCost+slice)
		}
		if least := usualCost + slice/every; g.cost < least*3/4 {
			t.Errorf("with one in %d held up for %s handshakes are thought to take %s, on average %s", every, slice, g.cost, least)
		}
	})
}

// What is waited for with a place is no cost.
func TestACertificateFromFarAwayIsNotDear(t *testing.T) {
	cert := &webConfig().TLS.Certificates[0] // of the true time
	synctest.Test(t, func(t *testing.T) {
		g := gateOf(1)
		g.cost = usualCost
		const far = 20 * time.Millisecond
		fetch := timed(&tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			time.Sleep(far)
			return cert, nil
		}}).GetCertificate
		for range 100 {
			var own records
			own.socket = new(socket)
			p := visitorOf(g, 1, time.Minute)
			own.passing.begin(p)
			if err := own.passing.enter(); err != nil {
				t.Fatal(err)
			}
			if got, err := fetch(&tls.ClientHelloInfo{Conn: &own}); got != cert || err != nil {
				t.Fatal(got, err)
			}
			time.Sleep(usualCost)
			p.whole = true
			own.passing.end()
		}
		if g.cost != usualCost {
			t.Errorf("handshakes of %s with a certificate that is %s away are thought to take %s", usualCost, far, g.cost)
		}
	})
}

// When it turns out that keys are slow, places that there are no more are given up, and
// not to others.
func TestPlacesThatAreTooManyAreNotGivenOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gateOf(1)
		g.cost = usualCost
		var all []*passage
		for i := range byte(12) {
			all = append(all, visitorOf(g, i, time.Hour))
		}
		entered := queue(g, all...)
		expectOrder(t, "at first", entered(), 0, 1, 2, 3, 4, 5, 6, 7)
		g.mu.Lock()
		g.cost = mostDelay
		g.mu.Unlock()
		time.Sleep(g.lease())
		expectOrder(t, "when eight leases have ended for one place", entered(), 0, 1, 2, 3, 4, 5, 6, 7, 8)
		time.Sleep(g.lease())
		expectOrder(t, "when the next one has ended", entered(), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
		for _, p := range all {
			g.leave(p)
			synctest.Wait()
		}
		expectOpen(t, g)
	})
}

func TestWhoHasWaitedForTooLongIsTurnedAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gateOf(1)
		g.cost = 40 * time.Millisecond // a lease is 80 ms
		told := make(chan error)
		begin := time.Now()
		for i := range byte(20) {
			p := visitorOf(g, i, 200*time.Millisecond)
			go func() { told <- p.enter() }() // and nobody gives a place back
		}
		in, away := 0, 0
		for range 20 {
			switch err := <-told; {
			case err == nil && time.Since(begin) < 200*time.Millisecond:
				in++
			case err == errTurnedAway && time.Since(begin) == 200*time.Millisecond:
				away++
			default:
				t.Error(err, "after", time.Since(begin))
			}
		}
		if in != 3 || away != 17 || g.turnedAway[query.DoT].Load() != 17 {
			t.Errorf("%d were let in, %d turned away, %d counted; want 3, 17, 17", in, away, g.turnedAway[query.DoT].Load())
		}
	})
}

// Settings that change while some wait are for those that come: each has the patience
// that it came with, also behind one that has more.
func TestEachWaitsForAsLongAsItWasToWhenItCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gateOf(1)
		g.cost = time.Hour // no lease ends
		leave := visitorOf(g, 0, time.Hour)
		queue(g, leave)
		begin := time.Now()
		for i, patience := range []time.Duration{time.Minute, time.Second, 10 * time.Second} {
			p := visitorOf(g, byte(i+1), patience)
			go func() {
				if err := p.enter(); err != errTurnedAway || time.Since(begin) != patience {
					t.Errorf("who may wait for %s hears %v after %s", patience, err, time.Since(begin))
				}
			}()
			synctest.Wait()
		}
		time.Sleep(time.Hour - 1)
		g.leave(leave)
		expectOpen(t, g)
	})
}

// A place that comes too late is of no use.
func TestNothingIsComputedForAHandshakeWhoseTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gateOf(1)
		p := visitorOf(g, 1, time.Second)
		time.Sleep(time.Until(p.by))
		if err := p.enter(); err != os.ErrDeadlineExceeded {
			t.Error(err)
		}
		g.leave(p)
		expectOpen(t, g)
	})
}

// TestHandshakesEndByTheirTimeWhateverTheyWaitFor: for a hello or for a place.
func TestHandshakesEndByTheirTimeWhateverTheyWaitFor(t *testing.T) {
	hello := map[string][]byte{"dot": helloOf(t, clientTLS("dot")), "doh": helloOf(t, clientTLS("h2"))}
	given := webConfig().TLS
	timeouts := Timeouts{}.withDefaults()
	for name, c := range map[string]struct{ dawdles, want time.Duration }{
		"for a place":           {0, timeouts.Handshake / 3},
		"for a hello":           {timeouts.Handshake, timeouts.Handshake},
		"for one and the other": {timeouts.Handshake - 1, timeouts.Handshake},
	} {
		for transport, handshake := range map[string]func(*Config, net.Conn){
			"dot": func(cfg *Config, c net.Conn) {
				s := newStreams(nil, query.DoT, cfg, mirror)
				config := charged(dotConfig(given), s.accounts)
				s.secure = func(c net.Conn) *tls.Conn { return tls.Server(c, config) }
				s.start(c)
				s.running.Wait()
			},
			"doh": func(cfg *Config, c net.Conn) {
				accounts := cfg.connections()
				s := newTLSSocket(accountedSocket{accounts: accounts, cfg: cfg}, charged(withHTTP(given), accounts))
				defer s.cancel()
				own := &accountedConn{Conn: c, accounts: accounts}
				if own.open() {
					s.begin(own)
				}
				s.handshakes.Wait()
			},
		} {
			t.Run(transport+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					g := gateOf(1)
					g.cost = time.Hour
					queue(g, visitorOf(g, 0, time.Hour))
					client, server := net.Pipe()
					begin := time.Now()
					go handshake(&Config{Timeouts: timeouts, Log: slog.New(slog.DiscardHandler), gate: g}, server)
					time.Sleep(c.dawdles)
					if c.dawdles < timeouts.Handshake {
						write(t, client, hello[transport])
					}
					endsAfter(t, client, begin, c.want)
					time.Sleep(2 * restTime)
				})
			})
		}
	}
}
