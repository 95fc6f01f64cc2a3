package policy

import (
	"net/netip"
	"testing"
	"time"
)

func TestNewcomersBeyondTheHandshakesProveTheirAddress(t *testing.T) {
	h := newHall(t, ConnectionLimits{Handshakes: 50}, func(c *Config) { c.Trust = prefixes("198.51.100.0/24") })
	for !h.haveSlotsOfTheirOwn("192.0.2.1", "192.0.2.2", "2001:db8::1") {
		h.g.connections.keys = newKeyring()
	}
	cs := h.g.Connections()
	count := func(addr string, at time.Duration) (n int) {
		for range 200 {
			if cs.Newcomer(start.Add(at), netip.MustParseAddr(addr)) {
				n++
			}
		}
		return n
	}
	for _, tc := range []struct {
		name string
		got  int
		want int
	}{
		{"an address", count("192.0.2.1", 0), 50},
		{"in the same second", count("192.0.2.1", 500*time.Millisecond), 0},
		{"a second later", count("192.0.2.1", time.Second), 50},
		{"a clock set back", count("192.0.2.1", 0), 0},
		{"a neighbour", count("192.0.2.2", 0), 50},
		{"one IPv6 site", count("2001:db8::1", 0), 50},
		{"the same site", count("2001:db8:0:1::1", 0), 0},
		{"trusted", count("198.51.100.1", 0), 200},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: %d of 200 began without proof, want %d", tc.name, tc.got, tc.want)
		}
	}
	if n := counter(t, h.g, "handshake_retries_total"); n != 150+200+150+200+150+150+200 {
		t.Errorf("retries counter is %d", n)
	}
	if !newHall(t, ConnectionLimits{}).g.Connections().Newcomer(start, netip.MustParseAddr("192.0.2.1")) {
		t.Error("no limit, yet a newcomer has to prove its address")
	}
}

// haveSlotsOfTheirOwn tells whether no two clients share a slot, as one pair in
// newcomerSlots does.
func (h *hall) haveSlotsOfTheirOwn(addrs ...string) bool {
	cs, seen := h.g.Connections(), map[*newcomerSlot]bool{}
	for _, a := range addrs {
		seen[cs.newcomerSlot(cs.rules.Load(), netip.MustParseAddr(a))] = true
	}
	return len(seen) == len(addrs)
}

// TestForgedNewcomersChargeNobody: the flood makes clients prove their
// addresses and costs them nothing else.
func TestForgedNewcomersChargeNobody(t *testing.T) {
	h := newHall(t, ConnectionLimits{PerClient: 1, Handshakes: 50})
	cs, victim := h.g.Connections(), netip.MustParseAddr("192.0.2.1")
	for range 10000 {
		cs.Newcomer(start, victim)
	}
	if !cs.Handshake(start, victim) || h.open("192.0.2.1", 0) == nil {
		t.Error("the client was charged for what was forged")
	}
}
