package listeners

import (
	"runtime"
	"sync/atomic"
	"testing"
)

// TestAConnectionWithMoreToReadGivesWay: others run after a few reads that did not
// have to wait, however much there is left to read. On the one processor that there
// is here, the goroutine beside this one is next, but for one time in 61, when the
// scheduler prefers who gives way.
func TestAConnectionWithMoreToReadGivesWay(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const reads = 2*readsInTurn + 1 // it gives way twice
	for name, reader := range map[string]func(*directConn) func() (int, error){
		"for HTTP": func(c *directConn) func() (int, error) {
			return func() (int, error) { return c.Read(make([]byte, 1)) }
		},
		"for TCP and DoT": func(c *directConn) func() (int, error) {
			calls := callsOf(c.TCPConn, nil)
			return func() (int, error) {
				var box inbox
				return calls.receive(&box)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			here, client := directPair(t)
			read := reader(here)
			// Each read of an inbox of its own takes ownBytes of them.
			if _, err := client.Write(make([]byte, reads*ownBytes)); err != nil {
				t.Fatal(err)
			}
			var others atomic.Bool
			go others.Store(true)
			for range reads {
				if n, err := read(); n == 0 || err != nil {
					t.Fatalf("read: %d, %v", n, err)
				}
			}
			if !others.Load() {
				t.Errorf("nobody else has run during %d reads", reads)
			}
		})
	}
}

// TestAWaitEndsATurn: a client that sends one query at a time never gives way for
// nothing.
func TestAWaitEndsATurn(t *testing.T) {
	var turn turn
	for range 10 * readsInTurn {
		turn.take() // finds nothing
		turn.wait()
		turn.take() // finds something
		if turn.reads > 1 {
			t.Fatalf("%d reads are counted, after a wait", turn.reads)
		}
	}
}
