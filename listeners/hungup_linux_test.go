package listeners

import (
	"net"
	"testing"
)

// Nothing is computed for a client that has left.
func TestHandshakesOfClientsThatLeaveWhileTheyWaitAreNotComputed(t *testing.T) {
	for transport := range gateALPN {
		t.Run(transport, func(t *testing.T) {
			expectNotComputed(t, transport, func(c net.Conn, _ *ledger) { c.Close() }, errHungUp)
		})
	}
}
