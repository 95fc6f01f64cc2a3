package listeners

import (
	"net"
	"net/http"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// h3Listener is DNS over HTTP/3 (RFC 8484, RFC 9114). It is a type of its own
// because Bind lists it under another name than the settings: doh3.
type h3Listener struct{ *quicListener }

// h3Unidirectional is how many unidirectional streams a client needs: one each
// for control and QPACK's encoder and decoder (RFC 9114 §6.2), and some to spare
// for those without meaning that clients open to keep servers flexible (§6.2.3).
const h3Unidirectional = 8

// newH3 serves handler on socket. We accept the streams, not http3: it sets no
// deadline for them, and a client that stalls a hundred requests would keep
// them for as long as it likes. The price is that no GOAWAY announces a
// shutdown (http3 keeps the control stream to itself); the connection is closed
// with H3_NO_ERROR after the last answer instead, which says the same.
//
// 0-RTT is off: HTTP has its own rules for replays (RFC 8470), and a resolver
// in a hurry has DoQ.
func newH3(socket *net.UDPConn, cfg *Config, handler http.Handler) h3Listener {
	server := &http3.Server{Handler: handler, MaxHeaderBytes: maxHeaderBytes}
	return h3Listener{newQUIC(socket, cfg, quicProtocol{
		alpn:           http3.NextProtoH3,
		unidirectional: h3Unidirectional,
		goodbye:        quic.ApplicationErrorCode(http3.ErrCodeNoError),
		busy:           quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad),
		conn: func(c *quic.Conn) (quicConn, error) {
			raw, err := server.NewRawServerConn(c)
			return h3Conn{raw}, err
		},
	})}
}

// h3Conn implements quicConn.
type h3Conn struct{ *http3.RawServerConn }

func (c h3Conn) stream(s *quic.Stream) func()         { return func() { c.HandleRequestStream(s) } }
func (c h3Conn) unidirectional(s *quic.ReceiveStream) { c.HandleUnidirectionalStream(s) }
