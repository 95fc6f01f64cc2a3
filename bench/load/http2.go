package load

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const dnsMessage = "application/dns-message" // RFC 8484 §6

// askHTTP2 asks over one connection of DoH (RFC 8484), by POST.
func askHTTP2(ctx context.Context, c *Config, n *tally) error {
	conn, err := dialStream(ctx, c, c.tlsConfig("h2"))
	if err != nil {
		return err
	}
	defer conn.Close()
	h, err := newHTTP2(conn, c)
	if err != nil {
		return err
	}
	for ctx.Err() == nil || len(h.streams) > 0 {
		if ctx.Err() == nil && !h.closing {
			h.send(n, c.Window)
		}
		if h.closing && len(h.streams) == 0 {
			return errors.New("the server ended the connection with GOAWAY")
		}
		if err := h.exchange(n); err != nil {
			n.lost += uint64(len(h.streams))
			n.problem(err)
			return nil
		}
	}
	return nil
}

// connectHTTP2 asks over DoH, each query over a connection of its own.
func connectHTTP2(ctx context.Context, c *Config, n *tally) error {
	config := c.tlsConfig("h2")
	for ctx.Err() == nil {
		if err := askHTTP2Once(ctx, c, config, n); err != nil {
			n.lost++
			n.problem(err)
		}
	}
	return nil
}

func askHTTP2Once(ctx context.Context, c *Config, config *tls.Config, n *tally) error {
	begin := time.Now()
	conn, err := dialStream(ctx, c, config)
	if err != nil {
		return err
	}
	defer hangUp(conn)
	n.connected(conn.(*tls.Conn).ConnectionState())
	h, err := newHTTP2(conn, c)
	if err != nil {
		return err
	}
	h.since = begin
	for h.send(n, 1); len(h.streams) > 0; {
		if err := h.exchange(n); err != nil {
			return err
		}
	}
	return nil
}

// http2Conn is a client's side of one connection (RFC 9113), as far as it goes
// with servers that mean well.
type http2Conn struct {
	config *Config
	conn   net.Conn
	in     *bufio.Reader
	framer *http2.Framer
	out    bytes.Buffer
	hpack  *hpack.Encoder
	block  bytes.Buffer

	streams map[uint32]*request
	spare   []*request
	next    uint32 // stream ID
	limit   int    // streams at once (RFC 9113 §5.1.2)
	window  int    // bytes that may be sent (RFC 9113 §5.2)
	read    uint32 // bytes since the last WINDOW_UPDATE
	closing bool
	since   time.Time // when the connection began, for its first query; zero: no matter
}

type request struct {
	sent time.Time
	body []byte
}

// ample is what this side lets the server send before it says more.
const ample = 1 << 30

func newHTTP2(conn net.Conn, c *Config) (*http2Conn, error) {
	h := &http2Conn{config: c, conn: conn, in: bufio.NewReaderSize(conn, readBytes), streams: map[uint32]*request{}, next: 1, limit: 100, window: 65535}
	h.framer = http2.NewFramer(&h.out, h.in)
	h.framer.SetReuseFrames()
	h.hpack = hpack.NewEncoder(&h.block)
	h.out.WriteString(http2.ClientPreface)
	err := errors.Join(
		h.framer.WriteSettings(http2.Setting{ID: http2.SettingEnablePush}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: ample}, http2.Setting{ID: http2.SettingHeaderTableSize}),
		h.framer.WriteWindowUpdate(0, ample))
	return h, err
}

// send sends queries until so many are on their way.
func (h *http2Conn) send(n *tally, window int) {
	now := time.Now()
	if !h.since.IsZero() {
		now, h.since = h.since, time.Time{}
	}
	for len(h.streams) < min(window, h.limit) {
		query := h.config.Queries[n.next%len(h.config.Queries)]
		if h.window < len(query) {
			return
		}
		n.next++
		r := &request{}
		if k := len(h.spare); k > 0 {
			r, h.spare = h.spare[k-1], h.spare[:k-1]
		}
		r.sent, r.body = now, r.body[:0]
		h.streams[h.next] = r
		h.window -= len(query)
		_ = h.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: h.next, BlockFragment: h.fields(len(query)), EndHeaders: true})
		_ = h.framer.WriteData(h.next, true, query)
		h.next += 2
	}
}

// fields is the header block of a query.
func (h *http2Conn) fields(length int) []byte {
	h.block.Reset()
	for _, f := range []hpack.HeaderField{
		{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: h.config.ServerName}, {Name: ":path", Value: "/dns-query"},
		{Name: "accept", Value: dnsMessage}, {Name: "content-type", Value: dnsMessage},
		// Another length would go into the table of the encoder each time.
		{Name: "content-length", Value: strconv.Itoa(length), Sensitive: true},
	} {
		_ = h.hpack.WriteField(f)
	}
	return h.block.Bytes()
}

// exchange writes what is to be sent, waits for a frame, and takes all that are there.
func (h *http2Conn) exchange(n *tally) error {
	if err := h.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if h.out.Len() > 0 {
		if _, err := h.conn.Write(h.out.Bytes()); err != nil {
			return err
		}
		h.out.Reset()
	}
	for {
		f, err := h.framer.ReadFrame()
		if err != nil {
			return err
		}
		if err := h.take(f, n); err != nil {
			return err
		}
		if !h.another() {
			return nil
		}
	}
}

// another tells whether there is a whole frame (RFC 9113 §4.1) in the buffer.
func (h *http2Conn) another() bool {
	const head = 9
	if h.in.Buffered() < head {
		return false
	}
	b, _ := h.in.Peek(3)
	return h.in.Buffered() >= head+(int(b[0])<<16|int(b[1])<<8|int(b[2]))
}

func (h *http2Conn) take(f http2.Frame, n *tally) error {
	switch f := f.(type) {
	case *http2.DataFrame:
		h.data(f, n)
	case *http2.HeadersFrame:
		if f.StreamEnded() {
			h.end(f.StreamID, n)
		}
	case *http2.SettingsFrame:
		if f.IsAck() {
			return nil
		}
		if v, ok := f.Value(http2.SettingMaxConcurrentStreams); ok {
			h.limit = int(min(v, 1<<16))
		}
		return h.framer.WriteSettingsAck()
	case *http2.WindowUpdateFrame:
		if f.StreamID == 0 {
			h.window += int(f.Increment)
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			return h.framer.WritePing(true, f.Data)
		}
	case *http2.RSTStreamFrame:
		n.problem(fmt.Errorf("stream reset: %s", f.ErrCode))
		if r := h.streams[f.StreamID]; r != nil {
			delete(h.streams, f.StreamID)
			n.lost++
		}
	case *http2.GoAwayFrame:
		h.closing = true
	}
	return nil
}

func (h *http2Conn) data(f *http2.DataFrame, n *tally) {
	if h.read += f.Length; h.read > ample/2 {
		_ = h.framer.WriteWindowUpdate(0, h.read)
		h.read = 0
	}
	r := h.streams[f.StreamID]
	if r == nil {
		return
	}
	r.body = append(r.body, f.Data()...)
	if f.StreamEnded() {
		h.end(f.StreamID, n)
	}
}

// end counts the answer of a stream. One of another status is text, and wrong.
func (h *http2Conn) end(stream uint32, n *tally) {
	if r := h.streams[stream]; r != nil {
		n.answer(r.body, time.Since(r.sent))
		delete(h.streams, stream)
		h.spare = append(h.spare, r)
	}
}
