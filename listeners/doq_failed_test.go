package listeners

import (
	"errors"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"domainpark/query"
)

// The resolver charges queries, and knows nothing else. A stream is charged once, and a
// query not here.
func TestDoQStreamsWithoutAQueryAreCharged(t *testing.T) {
	ended := func(s *quic.Stream) { s.Close() }
	reset := func(s *quic.Stream) { s.CancelWrite(doqRequestCancelled) }
	half, whole := strangeQuery(0)[:20], strangeQuery(0)
	for name, c := range map[string]struct {
		data    []byte
		then    func(*quic.Stream)
		charged int32
		tired   int32 // what it costs of the connection's patience
		change  func(*Config)
	}{
		"reset":                       {data: half, then: reset, charged: 1, tired: 1},
		"reset before the first byte": {then: reset, charged: 1, tired: 1},
		"reset behind the query":      {data: whole, then: reset, charged: 1, tired: 1},
		"large, and reset": {data: framed(testMessage(0, 9000))[:8000], then: func(s *quic.Stream) {
			settled(t, "large messages are missing", 0, func() int { return int(1 - largeMessages.Load()) })
			reset(s)
		}, charged: 1, tired: 1},
		"reset both ways":           {data: half, then: func(s *quic.Stream) { s.CancelRead(doqRequestCancelled); reset(s) }, charged: 1, tired: 1},
		"half, and no wish to hear": {data: half, then: func(s *quic.Stream) { s.CancelRead(doqRequestCancelled) }, charged: 1, tired: 1, change: hasty},
		"left":                      {data: half, charged: 1, tired: 1, change: hasty},
		"left without the end":      {data: whole, charged: 1, change: hasty},
		"ended too early":           {data: half, then: ended, charged: 1},
		"two queries":               {data: append(strangeQuery(0), whole...), then: ended, charged: 1},
		"not a query":               {data: strangeQuery(3), then: ended, charged: 1},
		"query":                     {data: whole, then: ended},
		"refused query":             {data: strangeQuery(1), then: ended},
		"query that panics":         {data: strangeQuery(2), then: ended},
	} {
		t.Run(name, func(t *testing.T) {
			large := largeMessages.Load()
			rig := newDoQRig(t, strange, c.change)
			conn := dialDoQ(t, rig.running)
			own := <-rig.begun
			s := openStream(t, conn, c.data)
			if c.then != nil {
				c.then(s)
			}
			if c.charged == 0 {
				_, _ = io.ReadAll(s)
			}
			rig.expectCharges(t, c.charged)
			if n := own.used.Load(); n != c.tired {
				t.Errorf("cost %d of the patience, want %d", n, c.tired)
			}
			rig.stop(t)
			rig.expectCharges(t, c.charged)
			if n := largeMessages.Load(); n != large {
				t.Errorf("%d large messages are still counted", n-large)
			}
		})
	}
}

// A stream opens all those before it (RFC 9000 §3.2), with nothing sent on them.
func TestDoQStreamsThatALaterOneOpensAreCharged(t *testing.T) {
	const skipped = 9
	rig := newDoQRig(t, mirror, hasty)
	conn := dialDoQ(t, rig.running)
	for range skipped {
		if _, err := conn.OpenStream(); err != nil { // sends nothing
			t.Fatal(err)
		}
	}
	expectDoQAnswer(t, conn, plainQuery)
	rig.expectCharges(t, skipped)
}

// hasty gives messages little time.
func hasty(cfg *Config) { cfg.Timeouts.Message = 50 * time.Millisecond }

// What is too large while the server holds as much as it may is a request like any other,
// and no fault of its client's.
func TestDoQStreamsThatThereIsNoRoomForAreCharged(t *testing.T) {
	before := largeMessages.Load()
	defer largeMessages.Store(before)
	rig := newDoQRig(t, mirror, nil)
	conn := dialDoQ(t, rig.running)
	own := <-rig.begun
	largeMessages.Store(maxLarge)
	s := openStream(t, conn, nil)
	_, _ = s.Write(framed(testMessage(0, 9000))[:8000]) // which the reset may come before
	_, err := io.ReadAll(s)
	expectReset(t, "no room", err, doqExcessiveLoad)
	rig.expectCharges(t, 1)
	if n := own.used.Load(); n != 0 {
		t.Errorf("cost %d of the patience", n)
	}
}

// A query whose answer nobody wants any more is charged by the resolver, and to cancel
// it costs patience all the same.
func TestDoQQueriesThatAreCancelledCostPatience(t *testing.T) {
	streams := make(chan *quic.Stream, 1)
	rig := newDoQRig(t, resolverFunc(func(dst []byte, q *query.Query) []byte {
		<-(<-streams).Context().Done() // until the STOP_SENDING is there
		return mirror(dst, q)
	}), nil)
	rig.tap = streams
	conn := dialDoQ(t, rig.running)
	own := <-rig.begun
	s := openStream(t, conn, framed(plainQuery))
	s.Close()
	s.CancelRead(doqRequestCancelled)
	settled(t, "streams cost no patience", 0, func() int { return 1 - int(own.used.Load()) })
	rig.stop(t)
	rig.expectCharges(t, 0)
}

// What is lost because the server ends a connection is charged to nobody, and what its
// client leaves or spoils is.
func TestDoQStreamsThatAreLostByUsAreNotCharged(t *testing.T) {
	for name, c := range map[string]struct {
		end     func(*testing.T, *quic.Conn, *doqRig, *hazard)
		charged int32
	}{
		"left by the client": {func(_ *testing.T, c *quic.Conn, _ *doqRig, _ *hazard) { c.CloseWithError(0, "") }, 1},
		"spoiled by the client": {func(t *testing.T, c *quic.Conn, _ *doqRig, _ *hazard) {
			stream, err := c.OpenUniStream()
			if err != nil {
				t.Fatal(err)
			}
			_, _ = stream.Write([]byte{0})
		}, 1},
		"makes room": {func(_ *testing.T, _ *quic.Conn, _ *doqRig, h *hazard) { h.accounts()[0].evict() }, 0},
		"stops":      {func(t *testing.T, _ *quic.Conn, rig *doqRig, _ *hazard) { rig.stop(t) }, 0},
		"panics": {func(t *testing.T, c *quic.Conn, rig *doqRig, h *hazard) {
			h.arm("Touch")
			openStream(t, c, framed(plainQuery))
			awaitFault(t, rig.running)
			h.disarm()
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			h := &hazard{ledger: newLedger()}
			rig := newDoQRig(t, mirror, func(cfg *Config) {
				cfg.Connections, cfg.Timeouts.Shutdown = h, time.Millisecond
			})
			conn := dialDoQ(t, rig.running)
			openStream(t, conn, framed(plainQuery)[:20])
			expectDoQAnswer(t, conn, plainQuery) // so the server has the other one
			c.end(t, conn, rig, h)
			settled(t, "open connections", 0, h.open)
			rig.stop(t)
			rig.expectCharges(t, c.charged)
		})
	}
}

// Who is over the limit is refused a connection that goes on for ever as well.
func TestDoQStreamsBrokenOffOverTheLimitEndTheConnection(t *testing.T) {
	rig := newDoQRig(t, mirror, nil)
	c := dialDoQ(t, rig.running)
	for range 2 { // what is answered in between makes them fewer
		rig.account.spent.Store(true)
		for i := range maxStreams {
			if err := breakDoQ(t, c); !wasReset(err) {
				t.Fatalf("stream %d: %v", i+1, err)
			}
		}
		rig.account.spent.Store(false)
		expectDoQAnswer(t, c, plainQuery)
	}
	rig.account.spent.Store(true)
	for range maxStreams + 1 {
		_ = breakDoQ(t, c)
	}
	expectClosedWith(t, c, doqNoError)
	expectDismissed(t, rig.running, query.DoQ)
}

func wasReset(err error) bool {
	reset, ok := errors.AsType[*quic.StreamError](err)
	return ok && reset.Remote
}

// TestDoQStreamsBrokenOffWithoutEnd: who is under no limit does not go on for ever either,
// but for as long as there are queries in between.
func TestDoQStreamsBrokenOffWithoutEnd(t *testing.T) {
	rig := newDoQRig(t, mirror, nil)
	c := dialDoQ(t, rig.running)
	broken := 0
	breakOff := func(n int) {
		for range n {
			broken++
			if err := breakDoQ(t, c); !wasReset(err) {
				t.Fatalf("stream %d: %v", broken, err)
			}
		}
	}
	for range h2Patience / h2PatienceA {
		breakOff(h2PatienceA) // all that an answer makes good
		expectDoQAnswer(t, c, plainQuery)
	}
	breakOff(2 * h2PatienceA)
	expectDoQAnswer(t, c, plainQuery)
	openStream(t, c, framed(plainQuery)[:20]) // which is not lost because of us
	left := 0
	for wasReset(breakDoQ(t, c)) && left < 2*h2Patience {
		left++
	}
	expectClosedWith(t, c, doqExcessiveLoad)
	if left != h2Patience-h2PatienceA {
		t.Errorf("ended after %d streams, want %d", left, h2Patience-h2PatienceA)
	}
	settled(t, "open connections", 0, rig.ledger.open)
	rig.expectCharges(t, int32(broken+left+2))
}

// A panic of who charges costs the connection alone.
func TestPanicOfTheRequestLimitEndsThatDoQConnectionOnly(t *testing.T) {
	before := largeMessages.Load()
	rig := newDoQRig(t, mirror, func(cfg *Config) {
		cfg.Requests = func(time.Time, netip.AddrPort, query.Transport) bool { panic("no limit") }
	})
	c := dialDoQ(t, rig.running)
	s := openStream(t, c, framed(testMessage(0, 9000))[:8000])
	settled(t, "large messages are missing", 0, func() int { return int(before + 1 - largeMessages.Load()) })
	s.CancelWrite(doqRequestCancelled)
	expectClosedWith(t, c, doqInternalError)
	settled(t, "large messages", int(before), func() int { return int(largeMessages.Load()) })
	expectDoQAnswer(t, dialDoQ(t, rig.running), plainQuery)
}
