//go:build linux

package main

// loadKind is a way to ask.
type loadKind struct {
	name, title         string
	transport           string // of bench/load
	connections, window int
	resume              bool
	half                bool // open-loop, at half of the rate that the same server answered over UDP
}

// loads are what is measured. Sixteen connections with fifty queries each on
// their way stand for the resolvers that send most; one query at a time for
// all others. Over UDP no more are on their way than the smallest receive
// buffer of a server takes (212,992 bytes are Linux' default); few sockets with
// many stand for load balancers and forwarders, many with one for resolvers.
var loads = []loadKind{
	{"udp", "UDP, 16 queries at once from each of 8 sockets", "udp", 8, 16, false, false},
	{"udp-half", "UDP, at half of what the server answered above", "udp", 8, 16, false, true},
	{"udp-1", "UDP, one query at a time from each of 128 sockets", "udp", 128, 1, false, false},
	{"tcp", "TCP, 50 queries at once on each of 16 connections", "tcp", 16, 50, false, false},
	{"dot", "DoT, 50 queries at once on each of 16 connections", "dot", 16, 50, false, false},
	{"doh", "DoH (HTTP/2, POST), 50 queries at once on each of 16 connections", "doh", 16, 50, false, false},
	{"doh3", "DoH (HTTP/3, POST), 50 queries at once on each of 16 connections", "doh3", 16, 50, false, false},
	{"doq", "DoQ, 50 queries at once on each of 16 connections", "doq", 16, 50, false, false},
	{"tcp-1", "TCP, one query at a time on each of 16 connections", "tcp", 16, 1, false, false},
	{"dot-1", "DoT, one query at a time on each of 16 connections", "dot", 16, 1, false, false},
	{"doh-1", "DoH (HTTP/2, POST), one query at a time on each of 16 connections", "doh", 16, 1, false, false},
	{"new-dot", "DoT, a new connection with a full TLS 1.3 handshake for each query", "new-dot", 16, 1, false, false},
	{"new-doh", "DoH (HTTP/2), a new connection with a full TLS 1.3 handshake for each query", "new-doh", 16, 1, false, false},
	{"new-doq", "DoQ, a new connection with a full handshake for each query", "new-doq", 16, 1, false, false},
	{"resumed-dot", "DoT, a new connection with a resumed TLS 1.3 session for each query", "new-dot", 16, 1, true, false},
	{"resumed-doq", "DoQ, a new connection with a resumed session for each query", "new-doq", 16, 1, true, false},
}

func loadNames() (names []string) {
	for _, l := range loads {
		names = append(names, l.name)
	}
	return names
}
