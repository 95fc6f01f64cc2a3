package policy

import (
	"encoding/binary"
	"net/netip"
	"time"

	"domainpark/query"
)

// DNS cookies (RFC 7873) in the form that servers of different makers
// understand of each other (RFC 9018). A server cookie proves that its client
// received an answer at its address before: the address is no lie. It is
// verified by computing it again; nothing is kept about anybody.
//
//	client cookie  version  reserved  timestamp  hash
//	8 bytes        1        3         4          8
const (
	optionCookie = 10 // RFC 7873 §8

	clientCookieBytes    = 8
	minServerCookieBytes = 8 // RFC 7873 §4
	maxServerCookieBytes = 32
	cookieBytes          = clientCookieBytes + 16 // RFC 9018 §4

	// CookieOptionBytes is how much AppendCookie appends at most.
	CookieOptionBytes = 4 + cookieBytes

	cookieVersion = 1
)

// How long a server cookie lives, RFC 9018 §4.3.
const (
	cookieAge    = time.Hour
	cookieAhead  = 5 * time.Minute  // a server of the fleet whose clock runs ahead
	cookieRenews = 30 * time.Minute // from then on its client gets a fresh one
)

// cookies makes and verifies server cookies. It is safe for concurrent use.
type cookies struct {
	require bool
	secrets *secrets
}

// check says what a cookie option is worth to the client at addr. Nil is no
// option; an empty one is not nil.
func (c *cookies) check(option []byte, addr netip.Addr, now time.Time) query.CookieState {
	switch n := len(option); {
	case option == nil:
		return query.CookieNone
	case n == clientCookieBytes:
		return query.CookieClient
	case n < clientCookieBytes+minServerCookieBytes || n > clientCookieBytes+maxServerCookieBytes:
		return query.CookieMalformed
	case n != cookieBytes || option[clientCookieBytes] != cookieVersion:
		return query.CookieInvalid // well-formed, and never made by us
	}
	age := cookieTime(option, now)
	if age > cookieAge || age < -cookieAhead {
		return query.CookieInvalid
	}
	got := binary.LittleEndian.Uint64(option[16:])
	for _, s := range c.secrets.at(now, -age) {
		// One comparison of one word: how long it takes tells nothing.
		if cookieHash(s, option, addr) == got {
			return query.CookieValid
		}
	}
	return query.CookieInvalid
}

// append appends a cookie option for the client at addr, whose own cookie
// begins option. A valid cookie that is still fresh is given back as it is.
func (c *cookies) append(dst, option []byte, state query.CookieState, addr netip.Addr, now time.Time) []byte {
	dst = binary.BigEndian.AppendUint32(dst, optionCookie<<16|cookieBytes)
	if state == query.CookieValid && c.secrets.single() && cookieTime(option, now) < cookieRenews {
		return append(dst, option...)
	}
	at := len(dst)
	dst = append(dst, option[:clientCookieBytes]...)
	dst = append(dst, cookieVersion, 0, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(now.Unix()))
	return binary.LittleEndian.AppendUint64(dst, cookieHash(c.secrets.at(now, 0)[0], dst[at:], addr))
}

// cookieTime is how old a cookie is, negative when it comes from the future.
// Timestamps wrap around in 2106 and compare as serial numbers (RFC 1982).
func cookieTime(option []byte, now time.Time) time.Duration {
	made := binary.BigEndian.Uint32(option[12:])
	return time.Duration(int32(uint32(now.Unix())-made)) * time.Second
}

// cookieHash is the hash of RFC 9018 §4.4 over the first 16 bytes of an option
// and the client's address. Reserved bytes count as they were received.
func cookieHash(s secret, option []byte, addr netip.Addr) uint64 {
	w := [5]uint64{binary.LittleEndian.Uint64(option), binary.LittleEndian.Uint64(option[8:])}
	if addr.Is4() || addr.Is4In6() {
		b := addr.As4()
		w[2] = uint64(binary.LittleEndian.Uint32(b[:])) | (16+4)<<56
		return s.sum(w[:3])
	}
	b := addr.As16()
	w[2], w[3] = binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])
	w[4] = (16 + 16) << 56
	return s.sum(w[:])
}
