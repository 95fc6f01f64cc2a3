package listeners

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
)

// doqViolation is something that RFC 9250 §4.3.3 calls fatal: the connection is
// closed with DOQ_PROTOCOL_ERROR, and the text tells the client why.
type doqViolation string

// Error implements error.
func (v doqViolation) Error() string { return string(v) }

// The violations that a server can meet.
const (
	errUnidirectional = doqViolation("unidirectional stream")
	errID             = doqViolation("message ID is not zero")
	errTooShort       = doqViolation("length shorter than a DNS header")
	errTruncated      = doqViolation("stream ended before the message")
	errSecond         = doqViolation("data behind the query")
	errNoFIN          = doqViolation("stream did not end behind the query")
	errNoQuery        = doqViolation("message is not a query that may come over DoQ")
)

// readDoQ reads the one message of a stream, with the end of the stream behind
// it (RFC 9250 §4.2). What was read before is in x's inbox, where the message
// will lie, and err is what that read said; the inbox may be empty and err nil.
func readDoQ(r io.Reader, x *exchange, err error) ([]byte, error) {
	box := &x.inbox
	for {
		message, short := box.next()
		switch {
		case short != nil:
			return nil, errTooShort
		case message != nil && !box.empty():
			return nil, errSecond
		case message != nil && binary.BigEndian.Uint16(message) != 0:
			return nil, errID // RFC 9250 §4.2.1
		case message != nil:
			return message, readFIN(r, err)
		case err == io.EOF:
			return nil, errTruncated
		case err != nil:
			return nil, err
		case !x.mayHold(box.to):
			return nil, errBusy
		}
		box.settle()
		var n int
		n, err = r.Read(box.space())
		box.took(n)
	}
}

// readFIN waits for the end of the stream, which most often came with the last
// bytes: then err, the error of reading those, says so.
func readFIN(r io.Reader, err error) error {
	for n := 0; err == nil; {
		var more [1]byte
		if n, err = r.Read(more[:]); n > 0 {
			return errSecond
		}
	}
	switch {
	case err == io.EOF:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errNoFIN
	default:
		return err
	}
}

// opcode is that of a message (RFC 1035 §4.1.1).
func opcode(message []byte) byte { return message[2] >> 3 & 15 }
