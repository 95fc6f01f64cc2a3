package listeners

import (
	"encoding/binary"
	"errors"

	"domainpark/query"
)

// Sizes of a message on a stream. TCP, DoT (RFC 7858 §3.3) and DoQ (RFC 9250
// §4.2) share the framing of RFC 1035 §4.2.2: two bytes of length, in network
// order and not counting themselves, then the message.
const (
	lengthBytes     = 2
	maxMessageBytes = 1<<16 - 1
	headerBytes     = 12 // RFC 1035 §4.1.1; nothing shorter is a message
)

var (
	errShort  = errors.New("message shorter than a DNS header")
	errSilent = errors.New("message that gets no answer")
	errDenied = errors.New("message that its client may not send") // over a limit, or not allowed at all
)

// frame takes the first message off data. As long as it is incomplete, message
// is nil and rest is data. A length that no message can have is errShort: what
// follows it can't be told apart any more. Both results point into data.
func frame(data []byte) (message, rest []byte, err error) {
	if len(data) < lengthBytes {
		return nil, data, nil
	}
	end := lengthBytes + int(binary.BigEndian.Uint16(data))
	if end < lengthBytes+headerBytes {
		return nil, data, errShort
	}
	if len(data) < end {
		return nil, data, nil
	}
	return data[lengthBytes:end:end], data[end:], nil
}

// appendFrame appends r's answer to q behind its length. Without an answer, or
// with one that no length can announce, or when what was asked is no message, it
// returns dst as it was and errSilent.
func appendFrame(dst []byte, r Resolver, q *query.Query) ([]byte, error) {
	start := len(dst) + lengthBytes
	out := r.Resolve(append(dst, 0, 0), q)
	n := len(out) - start
	if n <= 0 || n > maxMessageBytes || len(q.Message) < headerBytes {
		return dst, errSilent
	}
	binary.BigEndian.PutUint16(out[len(dst):], uint16(n))
	return out, nil
}
