package listeners

import (
	"testing"
	"time"

	"domainpark/query"
)

// A server that stops and comes too late to its last look at a connection, because
// the machine is busy, still takes what has arrived by then.
func TestStreamDrainTakesWhatArrivedByTheLastLook(t *testing.T) {
	for _, taken := range []bool{false, true} {
		here, client := accepted(t, framed(testMessage(1, 12)))
		defer client.Close()
		if taken { // nothing is left
			if _, err := here.Read(make([]byte, 100)); err != nil {
				t.Fatal(err)
			}
		}
		s := newStreams(nil, query.TCP, &Config{Timeouts: Timeouts{}.withDefaults()}, mirror)
		now := time.Now()
		s.drainedAt, s.lookUntil, s.endBy = now, now.Add(time.Hour), now.Add(time.Hour)
		s.draining.Store(true)
		c := &stream{
			server: s, raw: newSocket(here, patience), account: unlimited{}, received: now.Add(-time.Minute), idleBy: now.Add(time.Hour),
			glanceBy: now.Add(-time.Millisecond), // the last look was to end before
		}
		switch err := c.fill(); {
		case taken && err != errDrained:
			t.Errorf("nothing has arrived: got %v, want %v", err, errDrained)
		case !taken && err != nil:
			t.Errorf("a query has arrived: got %v", err)
		case !taken:
			if err := c.answer(); err != nil {
				t.Fatal(err)
			}
			expectAnswer(t, client, testMessage(1, 12))
		}
	}
}
