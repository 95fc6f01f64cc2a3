package resolver

import (
	"encoding/binary"

	"domainpark/policy"
	"domainpark/query"
)

// EDNS options that the resolver knows. Others are ignored and not echoed
// (RFC 6891 §6.1.2).
const (
	optionNSID      = 3  // RFC 5001
	optionCookie    = 10 // RFC 7873
	optionKeepalive = 11 // RFC 7828
	optionPadding   = 12 // RFC 7830
	optionError     = 15 // RFC 8914
)

// Extended DNS errors (RFC 8914 §4).
const (
	noError          = 0xffff // stands for no option; the code itself is unassigned
	prohibited       = 18
	notAuthoritative = 20
)

// paddingBlock is the block size that RFC 8467 §4.1 recommends for answers.
const paddingBlock = 468

const flagDO = 1 << 15 // in the OPT's TTL field (RFC 3225 §3)

// edns is what the OPT record of a query says.
type edns struct {
	size      uint16
	version   uint8
	do        bool
	options   bool // it has options that are known here
	nsid      bool
	keepalive bool
	cookie    []byte // the first cookie option's value; nil: there is none, or it gets no answer
}

// fixedBytes is how long type, class, TTL and RDLENGTH of a record are.
const fixedBytes = 10

// parseFixed reads what stands before the options of an OPT record (RFC 6891
// §6.1.2), from its type on.
func (e *edns) parseFixed(fixed *[fixedBytes]byte) {
	e.size = binary.BigEndian.Uint16(fixed[2:])
	e.version = fixed[5]
	e.do = binary.BigEndian.Uint16(fixed[6:])&flagDO != 0
}

// parseOptions reads the options of an OPT record.
func (e *edns) parseOptions(data []byte) bool {
	for len(data) > 0 {
		if len(data) < 4 {
			return false
		}
		code := binary.BigEndian.Uint16(data)
		n := int(binary.BigEndian.Uint16(data[2:]))
		data = data[4:]
		if n > len(data) {
			return false
		}
		switch code {
		case optionNSID:
			e.options, e.nsid = true, true
		case optionCookie:
			if e.options = true; e.cookie == nil { // further ones are ignored (RFC 7873 §5.2)
				e.cookie = data[:n]
			}
		case optionKeepalive:
			e.options, e.keepalive = true, true
		}
		data = data[n:]
	}
	return true
}

// limit is the size of the largest answer that may be sent to q.
func (e *edns) limit(q *query.Query) int {
	switch {
	case !q.Transport.Spoofable():
		return maxStream
	case !q.HasOPT:
		return minLimit
	default:
		return min(max(int(e.size), minLimit), maxUDP)
	}
}

// maxAmplification is how much larger than its query an answer may get by what
// may be left out of it, when the query may have come from somebody else: both
// as datagrams, with the headers of IPv4 (with IPv6's it is less). RFC 9000 §8.1
// has the same number for QUIC. What was asked for is sent whatever its size:
// response-rate limits are for that.
const (
	maxAmplification = 3
	datagramHeaders  = 20 + 8
)

// additionalRoom is how long an answer to q without its OPT record may get by
// what may be left out of its additional section; room is how long it may be
// anyway. Options of the OPT record that were asked for go first.
func (s *snapshot) additionalRoom(room int, q *query.Query, e *edns) int {
	if !proven(q) {
		most := maxAmplified(q)
		if q.HasOPT {
			most -= optBytes
		}
		room = min(room, most)
	}
	if e.cookie != nil {
		room -= policy.CookieOptionBytes
	}
	if e.nsid && len(s.nsid) > 0 {
		room -= 4 + len(s.nsid)
	}
	return room
}

// proven tells that q's client is where its address says.
func proven(q *query.Query) bool {
	return !q.Transport.Spoofable() || q.Trusted || q.Cookie == query.CookieValid
}

// maxAmplified is how long an answer to q gets by what nobody misses, when q
// is not proven.
func maxAmplified(q *query.Query) int {
	return maxAmplification*(len(q.Message)+datagramHeaders) - datagramHeaders
}

const optBytes = 1 + fixedBytes // an OPT record without options

// appendOPT appends the OPT record of the answer to q, which begins at start
// in dst, and returns it. Options that do not fit are left out, the least
// useful first, so that an answer never gets too large by them.
func (r *Resolver) appendOPT(dst []byte, start int, s *snapshot, q *query.Query, e *edns, ede uint16) []byte {
	do := byte(0)
	if e.do {
		do = flagDO >> 8
	}
	at := len(dst)
	dst = append(dst, 0, 0, typeOPT, maxUDP>>8, maxUDP&0xff, byte(q.Rcode>>4), 0, do, 0, 0, 0)
	if q.Kind == query.KindBadVers {
		return dst // what options mean in another version is not known
	}
	room := q.Limit - (len(dst) - start)
	if e.cookie != nil && room >= policy.CookieOptionBytes {
		before := len(dst)
		dst = r.guard.AppendCookie(dst, q, e.cookie)
		room -= len(dst) - before
	}
	if e.keepalive && q.Transport.Stream() && room >= 6 {
		dst = binary.BigEndian.AppendUint32(dst, optionKeepalive<<16|2)
		dst = binary.BigEndian.AppendUint16(dst, keepaliveUnits(q))
		room -= 6
	}
	if ede != noError && room >= 6 {
		dst = binary.BigEndian.AppendUint32(dst, optionError<<16|2)
		dst = binary.BigEndian.AppendUint16(dst, ede)
		room -= 6
	}
	if e.nsid && len(s.nsid) > 0 {
		if !proven(q) {
			room = min(room, maxAmplified(q)-(len(dst)-start))
		}
		if room >= 4+len(s.nsid) {
			dst = binary.BigEndian.AppendUint32(dst, uint32(optionNSID<<16|len(s.nsid)))
			dst = append(dst, s.nsid...)
		}
	}
	if q.Transport.Encrypted() {
		dst = appendPadding(dst, start, q.Limit)
	}
	if size := len(dst) - at - optBytes; size > 0 {
		binary.BigEndian.PutUint16(dst[at+9:], uint16(size))
	}
	return dst
}

// keepaliveUnits is q.Idle in the unit of RFC 7828 §3.1, 100 milliseconds.
func keepaliveUnits(q *query.Query) uint16 {
	return uint16(min(q.Idle.Milliseconds()/100, 0xffff))
}

// appendPadding pads the message that begins at start in dst to a multiple of
// paddingBlock, the option's own four bytes included.
func appendPadding(dst []byte, start, limit int) []byte {
	n := len(dst) - start + 4
	pad := min((n+paddingBlock-1)/paddingBlock*paddingBlock, limit) - n
	if pad < 0 {
		return dst
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(optionPadding<<16|pad))
	for ; pad >= len(zeros); pad -= len(zeros) {
		dst = append(dst, zeros[:]...)
	}
	return append(dst, zeros[:pad]...)
}

var zeros [paddingBlock]byte
