package telemetry

import (
	"net"
	"time"

	"domainpark/query"

	dnstap "github.com/dnstap/golang-dnstap"
	framestream "github.com/farsightsec/golang-framestream"
	"google.golang.org/protobuf/proto"
)

// tapFrames is a connection to a collector, in Frame Streams with a handshake.
// It is for one goroutine.
type tapFrames struct {
	frames *framestream.Writer
	buf    []byte // scratch
	cfg    *TapConfig
}

// newTapFrames shakes hands with a collector. One that takes the connection and
// then says nothing is one more that is gone.
func newTapFrames(conn net.Conn, cfg *TapConfig) (*tapFrames, error) {
	frames, err := framestream.NewWriter(conn, &framestream.WriterOptions{ContentTypes: [][]byte{dnstap.FSContentType}, Bidirectional: true, Timeout: tapTimeout})
	if err != nil {
		return nil, err
	}
	return &tapFrames{frames: frames, cfg: cfg}, nil
}

// write writes a query, and its answer if there is one, into a buffer.
func (f *tapFrames) write(e *tapped) error {
	if err := f.message(e, dnstap.Message_AUTH_QUERY); err != nil || e.answer == 0 {
		return err
	}
	return f.message(e, dnstap.Message_AUTH_RESPONSE)
}

// message writes one message. A response tells when its query came, and does
// not repeat it.
func (f *tapFrames) message(e *tapped, kind dnstap.Message_Type) (err error) {
	m := &dnstap.Message{
		Type: &kind, SocketFamily: family(e).Enum(), SocketProtocol: protocols[e.transport].Enum(),
		QueryAddress: e.client.Addr().AsSlice(), QueryPort: proto.Uint32(uint32(e.client.Port())),
	}
	m.QueryTimeSec, m.QueryTimeNsec = tapTime(e.received)
	if kind == dnstap.Message_AUTH_QUERY {
		m.QueryMessage = e.message[:e.query]
	} else {
		m.ResponseTimeSec, m.ResponseTimeNsec = tapTime(e.answered)
		m.ResponseMessage = e.message[e.query:]
	}
	d := &dnstap.Dnstap{Type: dnstap.Dnstap_MESSAGE.Enum(), Message: m}
	if f.cfg.Identity != "" {
		d.Identity = []byte(f.cfg.Identity)
	}
	if f.cfg.Version != "" {
		d.Version = []byte(f.cfg.Version)
	}
	if f.buf, err = (proto.MarshalOptions{}).MarshalAppend(f.buf[:0], d); err != nil {
		return err
	}
	_, err = f.frames.WriteFrame(f.buf)
	return err
}

func family(e *tapped) dnstap.SocketFamily {
	if e.client.Addr().Is4() {
		return dnstap.SocketFamily_INET
	}
	return dnstap.SocketFamily_INET6
}

// protocols are dnstap's of each transport. DoQ came to its definition after
// the library, which has no name for it.
var protocols = [query.Transports]dnstap.SocketProtocol{
	query.UDP: dnstap.SocketProtocol_UDP, query.TCP: dnstap.SocketProtocol_TCP, query.DoT: dnstap.SocketProtocol_DOT,
	query.DoH: dnstap.SocketProtocol_DOH, query.DoH3: dnstap.SocketProtocol_DOH, query.DoQ: 7,
}

func tapTime(t time.Time) (seconds *uint64, nanoseconds *uint32) {
	return proto.Uint64(uint64(t.Unix())), proto.Uint32(uint32(t.Nanosecond()))
}

func (f *tapFrames) flush() error { return f.frames.Flush() }

// end tells the collector that there is no more, and waits for its word.
func (f *tapFrames) end() { _ = f.frames.Close() }
