//go:build !race

package listeners

import (
	"testing"
	"time"
)

// Not under the race detector, which makes a sync.Pool, such as hpack's, forget
// things at random.
func TestH3UsualRequestAllocatesNothing(t *testing.T) {
	x := &exchange{out: make([]byte, 0, keptBytes)}
	now := time.Now()
	for _, c := range h3Cases() {
		if !c.usual {
			continue
		}
		allocs := testing.AllocsPerRun(200, func() {
			message := plainMessage(c.stream, x)
			x.out = appendHead(x.out[:0], h3Answered, len(message), 3600, now)
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations", c.name, allocs)
		}
	}
}
