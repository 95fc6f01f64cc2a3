package listeners

import (
	"bufio"
	"io"

	"github.com/quic-go/quic-go/http3"
)

// We have no dynamic table and refer to none of the client's, so there is next to
// nothing that QPACK's streams may say, and nothing that we need.

// Errors of QPACK's streams (RFC 9204 §6), which http3 has no names for.
const (
	qpackEncoderStreamError http3.ErrCode = 0x201
	qpackDecoderStreamError http3.ErrCode = 0x202
)

// Instructions that may be (RFC 9204 §4.3.1, §4.4.2).
const (
	qpackCapacityZero       = 0x20
	qpackStreamCancellation = 0x40
)

// qpackIntegerBytes is how many bytes of 7 bits follow the first one of an integer of 62
// bits at most (RFC 9204 §4.1.1).
const qpackIntegerBytes = 9

// readQPACK is readH3Critical for QPACK's streams. next reads an instruction.
func readQPACK(from *bufio.Reader, tire func() bool, next func(io.ByteReader) (http3.ErrCode, string)) (http3.ErrCode, string) {
	for {
		if code, reason := next(from); reason != "" {
			return code, reason
		}
		if !tire() {
			return http3.ErrCodeExcessiveLoad, ""
		}
	}
}

// encoderInstruction reads an instruction of the client's encoder, which inserts and
// duplicates nothing in a table of capacity 0 (RFC 9204 §3.2.3), and cannot set another
// one. To set 0 once more is as good as silence.
func encoderInstruction(from io.ByteReader) (http3.ErrCode, string) {
	b, err := from.ReadByte()
	if err != nil {
		return http3.ErrCodeClosedCriticalStream, "end of QPACK's encoder stream"
	}
	if b != qpackCapacityZero {
		return qpackEncoderStreamError, "instruction for a dynamic table that there is not"
	}
	return 0, ""
}

// decoderInstruction reads an instruction of the client's decoder. There is nothing in
// our field sections that it could acknowledge (RFC 9204 §4.4.1, §4.4.3), but of any of
// them it may say that it will not read it.
func decoderInstruction(from io.ByteReader) (http3.ErrCode, string) {
	b, err := from.ReadByte()
	if err == nil && b&0xc0 != qpackStreamCancellation {
		return qpackDecoderStreamError, "acknowledgment of what was never sent"
	}
	more := b&0x3f == 0x3f // of the stream's ID
	for n := 0; more && err == nil; n++ {
		if n == qpackIntegerBytes {
			return qpackDecoderStreamError, "cancellation of a stream that cannot be"
		}
		b, err = from.ReadByte()
		more = b >= 0x80
	}
	if err != nil {
		return http3.ErrCodeClosedCriticalStream, "end of QPACK's decoder stream"
	}
	return 0, ""
}
