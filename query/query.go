// Package query holds Query, the one value that accompanies a DNS message from
// the socket it arrived on to the log line that tells of it.
//
// A listener fills in what it knows (the first group of fields) and hands the
// Query to the resolver, which fills in the rest; limits, metrics and logs read
// it. Start at [Query]. The package imports nothing of this project and knows
// no wire format: parsing belongs to the resolver.
package query

import (
	"net/netip"
	"time"
)

// Sizes of a domain name in wire format.
const (
	MaxNameBytes = 255 // RFC 1035 §3.1, the root's zero byte included
	MaxLabels    = 127 // 127 labels of one byte each fill 255 bytes; the root is not counted
)

// Query is one DNS message as it arrived, and what becomes known about it on
// its way. A worker or a connection owns one Query and uses it again for the
// next message: nothing may keep a Query, or a slice of one, after Resolve and
// whoever observes the result have returned. It is not safe for concurrent use.
type Query struct {
	// Filled in by the listener, before Resolve.

	Message   []byte         // wire format, no length prefix; read only
	Client    netip.AddrPort // where the answer goes; an IPv4 client is never in IPv6-mapped form
	Transport Transport
	Received  time.Time     // read once for a query, or once for a batch of them
	Idle      time.Duration // how long a stream may now stay idle, for RFC 7828; streams only
	Worker    int           // which worker or connection asks: picks the counters to write, any number will do

	// Filled in by the resolver. Valid when Resolve has returned; Resolve
	// resets them, so the listener need not.

	Name     []byte // QNAME in wire format, folded to lower case; nil when there was none; points into Fold
	Type     uint16 // QTYPE
	Class    uint16 // QCLASS
	Base     []byte // the parked domain or zone apex that Name lies in, as Name; nil when there is none
	HasOPT   bool   // the query had an OPT record (RFC 6891)
	DO       bool   // DNSSEC OK
	Limit    int    // the largest answer that may be sent, bytes
	MaxAge   uint32 // seconds an HTTP cache may keep the answer (RFC 8484 §5.1); 0: not at all
	Rcode    uint16 // extended: the OPT's upper bits included
	Kind     Kind
	Verdict  Verdict
	Truncate bool   // the answer left with TC=1
	Size     int    // of the answer, bytes; 0: none
	Answer   []byte // as it is sent, in the listener's buffer: valid only while the query is observed; empty: none
	Trusted  bool   // the client is exempt from limits
	Cookie   CookieState

	// Scratch space, here so that the hot path needs no memory of its own.

	Fold   [MaxNameBytes + 1]byte // backs Name
	Labels [MaxLabels + 1]uint8   // where in Name each label's length byte stands, first label first
	Count  int                    // how many of Labels are in use; the root label is not among them

	// The names that aliases of an operator's zone lead to, in turns, and where
	// the labels of the last one stand.
	Alias       [2][MaxNameBytes + 1]byte
	AliasLabels [MaxLabels + 1]uint8
}
