package listeners

import (
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"
)

// h3MaxFieldSection is SETTINGS_MAX_FIELD_SECTION_SIZE (RFC 9114 §7.2.4.1).
const h3MaxFieldSection = 0x6

// h3Greeting begins our control stream (RFC 9114 §6.2.1, §7.2.4). It says what a client
// must know: how long a header may be. That QPACK has no table is the default.
var h3Greeting = func() []byte {
	limit := quicvarint.Append([]byte{h3MaxFieldSection}, maxHeaderBytes)
	return append([]byte{h3ControlStream, h3Settings, byte(len(limit))}, limit...)
}()

// openH3Control opens our control stream.
func openH3Control(conn *quic.Conn) (*quic.SendStream, error) {
	s, err := conn.OpenUniStream()
	if err == nil {
		_, err = s.Write(h3Greeting)
	}
	return s, err
}

// leave implements quicConn. It sends GOAWAY (RFC 9114 §5.2), so that the client knows
// which requests it can repeat over another connection. A client that lets us send
// nothing on the control stream is told by the end of the connection alone.
func (c *h3Conn) leave(next quic.StreamID) {
	id := quicvarint.Append(nil, uint64(next))
	_ = c.control.TryWriteAll(append([]byte{h3GoAway, byte(len(id))}, id...))
}
