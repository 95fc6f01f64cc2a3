package main

import (
	"net/netip"
	"time"

	"domainpark/listeners"
	"domainpark/policy"
)

// quota makes the policy's accounts of connections what listeners ask.
type quota struct{ *policy.Connections }

// Open implements listeners.Connections.
func (q quota) Open(now time.Time, addr netip.Addr, evict func()) listeners.Connection {
	if c := q.Connections.Open(now, addr, evict); c != nil {
		return c
	}
	return nil // no connection, where a nil *policy.Connection would be one
}
