package listeners

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"domainpark/query"
)

func TestStreamDrain(t *testing.T) {
	limits := Timeouts{}.withDefaults()
	whole := framed(testMessage(1, 40))
	for _, c := range []struct {
		name          string
		before, after func(*testing.T, net.Conn)
		want          time.Duration // until the connection ends, from the stop on
	}{
		{"idle", nil, nil, lastLook + secondLook},
		{"a query on its way", nil, func(t *testing.T, c net.Conn) {
			write(t, c, whole)
			expectAnswer(t, c, testMessage(1, 40))
		}, quiet + secondLook},
		{"queries every few milliseconds", nil, func(t *testing.T, c net.Conn) {
			for range 5 {
				write(t, c, whole)
				expectAnswer(t, c, testMessage(1, 40))
				time.Sleep(quiet - time.Microsecond)
			}
		}, 5*(quiet-time.Microsecond) + time.Microsecond + secondLook},
		{"queries one behind the other", nil, func(t *testing.T, c net.Conn) {
			for begin := time.Now(); time.Since(begin) < lastLook; time.Sleep(time.Millisecond) {
				write(t, c, whole)
				expectAnswer(t, c, testMessage(1, 40))
			}
		}, lastLook + secondLook},
		{"half a message, and the rest",
			func(t *testing.T, c net.Conn) { write(t, c, whole[:20]) },
			func(t *testing.T, c net.Conn) {
				time.Sleep(time.Second)
				write(t, c, whole[20:])
				expectAnswer(t, c, testMessage(1, 40))
			}, time.Second},
		{"half a message alone",
			func(t *testing.T, c net.Conn) { write(t, c, whole[:20]) }, nil, limits.Message},
		{"an answer that is not read",
			func(t *testing.T, c net.Conn) { write(t, c, whole) },
			func(t *testing.T, c net.Conn) {
				time.Sleep(limits.Write - time.Millisecond)
				expectAnswer(t, c, testMessage(1, 40))
			}, limits.Write - time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, false, mirror, func(t *testing.T, p *pipes, stop func()) {
				client := p.dial()
				defer client.Close()
				if c.before != nil {
					c.before(t, client)
				}
				synctest.Wait()
				begin := time.Now()
				stop()
				synctest.Wait()
				if c.after != nil {
					c.after(t, client)
				}
				endsAfter(t, client, begin, c.want)
			})
		})
	}
}

func TestStreamDrainTakesWhatIsQueued(t *testing.T) {
	inBubble(t, false, mirror, func(t *testing.T, p *pipes, stop func()) {
		stop()
		c := p.dial() // as if the kernel had it in its queue
		defer c.Close()
		write(t, c, framed(testMessage(1, 12)))
		expectAnswer(t, c, testMessage(1, 12))
	})
}

// A server that stops accepts for as long as it looks at what is on its way, and never
// for longer than it has in all, which may have been changed since it was bound.
func TestDrainAcceptsNoLongerThanShutdown(t *testing.T) {
	for _, c := range []struct{ bound, now, want time.Duration }{
		{5 * time.Second, 5 * time.Second, lastLook},
		{lastLook, lastLook, lastLook},
		{20 * time.Millisecond, 20 * time.Millisecond, 20 * time.Millisecond},
		{5 * time.Second, time.Millisecond, time.Millisecond},
		{time.Millisecond, 5 * time.Second, lastLook},
	} {
		synctest.Test(t, func(t *testing.T) {
			var latest atomic.Pointer[Config]
			latest.Store(&Config{Timeouts: Timeouts{Shutdown: c.now}.withDefaults()})
			p := newPipes()
			s := newStreams(p, query.TCP, &Config{Timeouts: Timeouts{Shutdown: c.bound}.withDefaults(), latest: &latest}, mirror)
			ctx, stop := context.WithCancel(t.Context())
			stop()
			begin := time.Now()
			done := make(chan error, 1)
			go func() { done <- s.serve(ctx) }()
			<-p.ended
			if took := time.Since(begin); took != c.want {
				t.Errorf("bound with %v, now %v: accepted for %v, want %v", c.bound, c.now, took, c.want)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// The same of DoH, whose socket can't be on a fake clock.
func TestDoHAcceptsNoLongerThanShutdownNow(t *testing.T) {
	tcp, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	var latest atomic.Pointer[Config]
	cfg := webConfig().withDefaults()
	cfg.latest = &latest
	latest.Store(&cfg)
	accepts := lingeringIn(newDoH(tcp, &cfg, &dohHandler{resolver: mirror, cfg: &cfg}).socket).accepts
	for _, c := range []struct{ shutdown, want time.Duration }{{5 * time.Second, lastLook}, {time.Millisecond, time.Millisecond}} {
		latest.Store(&Config{Timeouts: Timeouts{Shutdown: c.shutdown}})
		if got := accepts(); got != c.want {
			t.Errorf("with %v for all it accepts for %v, want %v", c.shutdown, got, c.want)
		}
	}
}

// A connection that is accepted at the last moment has as much time for its first
// query as one that was accepted before.
func TestStreamDrainWaitsForNewConnections(t *testing.T) {
	inBubble(t, false, mirror, func(t *testing.T, p *pipes, stop func()) {
		stop()
		synctest.Wait()
		time.Sleep(lastLook - time.Microsecond)
		c := p.dial()
		defer c.Close()
		begin := time.Now()
		time.Sleep(lastLook - time.Microsecond)
		write(t, c, framed(testMessage(1, 12)))
		expectAnswer(t, c, testMessage(1, 12))
		endsAfter(t, c, begin, lastLook-time.Microsecond+secondLook)
	})
}

func TestStreamDrainEndsByForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		limits := Timeouts{Message: time.Minute, Write: time.Minute, Shutdown: 2 * time.Second}.withDefaults()
		s := newStreams(p, query.TCP, &Config{Timeouts: limits}, mirror)
		ctx, cancel := context.WithCancel(t.Context())
		slow, deaf := p.dial(), p.dial()
		defer slow.Close()
		defer deaf.Close()
		go func() {
			_, _ = slow.Write([]byte{0})
			_, _ = deaf.Write(framed(testMessage(1, 12)))
			cancel()
		}()
		begin := time.Now()
		if err := s.serve(ctx); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took != limits.Shutdown {
			t.Errorf("stopped after %v, want %v", took, limits.Shutdown)
		}
	})
}

// RFC 7828 §3.3.2: a server that wants its clients to go says zero.
func TestStreamKeepaliveIsZeroWhileStopping(t *testing.T) {
	idles := make(chan time.Duration, 2)
	r := resolverFunc(func(dst []byte, q *query.Query) []byte {
		select {
		case idles <- q.Idle:
		default:
		}
		return mirror(dst, q)
	})
	inBubble(t, false, r, func(t *testing.T, p *pipes, stop func()) {
		c := p.dial()
		defer c.Close()
		for range 2 {
			write(t, c, framed(testMessage(1, 12)))
			expectAnswer(t, c, testMessage(1, 12))
			stop()
			synctest.Wait()
		}
	})
	if before, after := <-idles, <-idles; before != 10*time.Second || after != 0 {
		t.Errorf("idle time told: %v, then %v; want 10 s, then 0", before, after)
	}
}
