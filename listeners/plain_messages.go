package listeners

import "encoding/binary"

// messageHeaderBytes is the size of the header of a handshake message, its type and its
// length (RFC 8446 §4, RFC 5246 §7.4).
const messageHeaderBytes = 4

// plainMessages counts the handshake messages that a client sends in plain text, however
// it cuts them into records, and these into segments. What is encrypted makes no sense to it.
type plainMessages struct {
	whole int // messages that were heard to their end

	record    [recordHeaderBytes]byte
	recordHas int // bytes of that header; 0: the record is under way, or none has begun
	inRecord  int // bytes that are left of the record

	message    [messageHeaderBytes]byte
	messageHas int // as recordHas
	inMessage  int // bytes that are left of the message
}

// hear goes on with what has been read.
func (m *plainMessages) hear(read []byte) {
	for len(read) > 0 {
		if m.inRecord == 0 {
			n := copy(m.record[m.recordHas:], read)
			read = read[n:]
			if m.recordHas += n; m.recordHas == recordHeaderBytes {
				m.recordHas, m.inRecord = 0, int(binary.BigEndian.Uint16(m.record[3:]))
			}
			continue
		}
		n := min(m.inRecord, len(read))
		if m.record[0] == recordHandshake {
			m.hearFragment(read[:n])
		}
		m.inRecord -= n
		read = read[n:]
	}
}

// hearFragment goes on with what a record has of a message, or of more than one.
func (m *plainMessages) hearFragment(fragment []byte) {
	for len(fragment) > 0 {
		if m.inMessage == 0 {
			n := copy(m.message[m.messageHas:], fragment)
			fragment = fragment[n:]
			if m.messageHas += n; m.messageHas < messageHeaderBytes {
				return
			}
			m.messageHas = 0
			m.inMessage = int(binary.BigEndian.Uint32(m.message[:]) & 0xffffff)
		}
		n := min(m.inMessage, len(fragment))
		fragment = fragment[n:]
		if m.inMessage -= n; m.inMessage == 0 {
			m.whole++
		}
	}
}
