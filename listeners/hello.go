package listeners

import (
	"net"
	"net/netip"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// A client that makes more handshakes than it may is told so before crypto/tls
// hears of it: what its hello asks for is read from the bytes that have arrived.

// toll is what a client has been charged for its handshake so far.
type toll uint8

const (
	tollNone toll = iota
	tollFull
	tollResumed
)

// tolled is a connection below crypto/tls that knows what its client has paid.
type tolled interface{ paid() toll }

// paidBy is what the client of conn has paid, tollNone when conn does not know.
func paidBy(conn net.Conn) toll {
	if c, ok := conn.(tolled); ok {
		return c.paid()
	}
	return tollNone
}

// tollOf is what a handshake is to be charged as at its hello.
func tollOf(offersKey bool) toll {
	if offersKey {
		return tollResumed
	}
	return tollFull
}

// charge charges the client at addr and tells whether it may go on.
func (t toll) charge(accounts Connections, now time.Time, addr netip.Addr) bool {
	if t == tollResumed {
		return accounts.Resume(now, addr)
	}
	return accounts.Handshake(now, addr)
}

// tooMany is what a client hears whose handshake is refused, an alert as
// crypto/tls sends it: internal_error (RFC 8446 §6.2), in a record of TLS 1.2
// (§5.1), fatal.
var tooMany = []byte{21, 3, 3, 0, 2, 2, 80}

const (
	recordHandshake = 22 // RFC 8446 §5.1
	helloMessage    = 1  // §4
	preSharedKey    = 41 // §4.2.11
)

// readHello tells what the client asks for whose first record this is: whether
// it offers to resume a session, which is the same question as offersKey's. It is
// not ok when the hello goes on in another record or is no hello: crypto/tls knows
// what to do.
func readHello(record []byte) (resumes, ok bool) {
	var fragment, message, extensions cryptobyte.String
	var kind uint8
	in := cryptobyte.String(record)
	const versionBytes, randomBytes = 2, 32
	if !in.ReadUint8(&kind) || kind != recordHandshake ||
		!in.Skip(versionBytes) || !in.ReadUint16LengthPrefixed(&fragment) ||
		!fragment.ReadUint8(&kind) || kind != helloMessage ||
		!fragment.ReadUint24LengthPrefixed(&message) || !fragment.Empty() ||
		!message.Skip(versionBytes+randomBytes) {
		return false, false
	}
	var session, methods, suites cryptobyte.String
	if !message.ReadUint8LengthPrefixed(&session) || !message.ReadUint16LengthPrefixed(&suites) ||
		!message.ReadUint8LengthPrefixed(&methods) {
		return false, false
	}
	if message.Empty() {
		return false, true // TLS 1.2 has hellos without extensions
	}
	if !message.ReadUint16LengthPrefixed(&extensions) || !message.Empty() {
		return false, false
	}
	for !extensions.Empty() {
		var extension uint16
		var data cryptobyte.String
		if !extensions.ReadUint16(&extension) || !extensions.ReadUint16LengthPrefixed(&data) {
			return false, false
		}
		resumes = resumes || extension == preSharedKey
	}
	return resumes, true
}
