package listeners

import (
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"
)

// h3MaxFieldSection is SETTINGS_MAX_FIELD_SECTION_SIZE (RFC 9114 §7.2.4.1).
const h3MaxFieldSection = 0x6

// openH3Control opens our control stream and says what a client must know: no table for
// QPACK, which is the default, and how long a header may be.
func openH3Control(conn *quic.Conn) error {
	s, err := conn.OpenUniStream()
	if err == nil {
		_, err = s.Write(h3Greeting)
	}
	return err
}

// h3Greeting begins our control stream (RFC 9114 §6.2.1, §7.2.4).
var h3Greeting = func() []byte {
	limit := quicvarint.Append([]byte{h3MaxFieldSection}, maxHeaderBytes)
	return append([]byte{h3ControlStream, h3Settings, byte(len(limit))}, limit...)
}()
