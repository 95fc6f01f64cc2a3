package listeners

import (
	"bytes"
	"encoding/base64"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2Client speaks to an h2Server without TLS, frame by frame, with the framer of
// x/net: its reading of RFC 9113 is not ours.
type h2Client struct {
	*http2.Framer
	t       testing.TB
	conn    net.Conn
	encoder *hpack.Encoder
	block   bytes.Buffer
	writing sync.Mutex // each write begins when the one before has ended
}

// h2Pipe starts a connection of a server that cfg describes, on the clock of a
// bubble if there is one. The server's end is returned as well.
func h2Pipe(t testing.TB, cfg *Config, r Resolver) (*h2Server, net.Conn) {
	t.Helper()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Timeouts = cfg.Timeouts.withDefaults()
	s := newH2Server(cfg, &dohHandler{resolver: r, cfg: cfg, altSvc: []string{`h3=":443"`}})
	client, server := net.Pipe()
	s.start(server, server, cfg.connections().Open(time.Now(), remote(server).Addr(), func() { _ = server.Close() }))
	return s, client
}

func newH2Client(t testing.TB, conn net.Conn) *h2Client {
	c := &h2Client{Framer: http2.NewFramer(conn, conn), t: t, conn: conn}
	c.encoder = hpack.NewEncoder(&c.block)
	c.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.AllowIllegalWrites = true
	return c
}

// h2Bubble runs test in a bubble, with a client that has greeted a server.
func h2Bubble(t *testing.T, cfg Config, r Resolver, test func(t *testing.T, s *h2Server, c *h2Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, conn := h2Pipe(t, &cfg, r)
		c := newH2Client(t, conn)
		c.greet()
		test(t, s, c)
		conn.Close()
		s.drain()
		s.wait()
		time.Sleep(time.Minute) // for clients that drip, to notice the end
		if n := h2Held.Load(); n != 0 {
			t.Errorf("%d bytes are held after the end", n)
		}
	})
}

// greet sends the preface and takes what the server says first.
func (c *h2Client) greet(settings ...http2.Setting) {
	c.t.Helper()
	c.write(func() error {
		if _, err := io.WriteString(c.conn, http2.ClientPreface); err != nil {
			return err
		}
		return c.WriteSettings(settings...)
	})
	for _, kind := range []http2.FrameType{http2.FrameSettings, http2.FrameWindowUpdate, http2.FrameSettings} {
		c.expect(kind)
	}
}

// write writes while the test reads: net.Pipe has no room for anything.
func (c *h2Client) write(f func() error) {
	go func() {
		c.writing.Lock()
		defer c.writing.Unlock()
		_ = f()
	}()
}

// next is the next frame, or nil when the server has closed the connection.
func (c *h2Client) next() http2.Frame {
	f, err := c.ReadFrame()
	if err != nil {
		if err != io.EOF && err != io.ErrUnexpectedEOF && err != io.ErrClosedPipe {
			c.t.Fatalf("reading a frame: %v", err)
		}
		return nil
	}
	return f
}

func (c *h2Client) expect(kind http2.FrameType) http2.Frame {
	c.t.Helper()
	f := c.next()
	if f == nil || f.Header().Type != kind {
		c.t.Fatalf("got %v, want %v", f, kind)
	}
	return f
}

// header encodes a header; pairs are names and values.
func (c *h2Client) header(pairs ...string) []byte {
	c.block.Reset()
	for i := 0; i < len(pairs); i += 2 {
		_ = c.encoder.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	return bytes.Clone(c.block.Bytes())
}

func postHeader(more ...string) []string {
	return append([]string{":method", "POST", ":scheme", "https", ":authority", "localhost", ":path", dohPath, "content-type", dnsMessage[0]}, more...)
}

func getHeader(path string, more ...string) []string {
	return append([]string{":method", "GET", ":scheme", "https", ":authority", "localhost", ":path", path}, more...)
}

func getPath(message []byte) string {
	return dohPath + "?dns=" + base64.RawURLEncoding.EncodeToString(message)
}

// open sends a header.
func (c *h2Client) open(id uint32, end bool, pairs ...string) error {
	return c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.header(pairs...), EndStream: end, EndHeaders: true})
}

// expectStatus takes a header and tells its status.
func (c *h2Client) expectStatus(id uint32, status string) {
	c.t.Helper()
	f, ok := c.expect(http2.FrameHeaders).(*http2.MetaHeadersFrame)
	if !ok || f.StreamID != id || f.PseudoValue("status") != status {
		c.t.Fatalf("got %v, want %s on stream %d", f, status, id)
	}
}

// expectMessage takes a whole answer with the message that mirror makes.
func (c *h2Client) expectMessage(id uint32, message []byte) {
	c.t.Helper()
	c.expectStatus(id, "200")
	f := c.expect(http2.FrameData).(*http2.DataFrame)
	if f.StreamID != id || !f.StreamEnded() || !bytes.Equal(f.Data(), answerTo(message)) {
		c.t.Fatalf("got %v %x, want the answer to stream %d", f, f.Data(), id)
	}
}

func (c *h2Client) expectReset(id uint32, code http2.ErrCode) {
	c.t.Helper()
	if f := c.expect(http2.FrameRSTStream).(*http2.RSTStreamFrame); f.StreamID != id || f.ErrCode != code {
		c.t.Fatalf("got %v, want %v on stream %d", f, code, id)
	}
}

// expectEnd reads until the connection ends, by GOAWAY with code. It returns how
// many other frames came before.
func (c *h2Client) expectEnd(code http2.ErrCode) (frames int) {
	c.t.Helper()
	for {
		switch f := c.next().(type) {
		case nil:
			c.t.Fatalf("closed without GOAWAY, want %v", code)
		case *http2.GoAwayFrame:
			if f.ErrCode != code {
				c.t.Fatalf("got %v, want %v", f, code)
			}
			for c.next() != nil {
			}
			return frames
		default:
			frames++
		}
	}
}

// repeat writes the same bytes until the connection ends, after what goes before.
func (c *h2Client) repeat(first []byte, again []byte) {
	c.write(func() error {
		if _, err := c.conn.Write(first); err != nil {
			return err
		}
		many := bytes.Repeat(again, max(1, 4096/len(again)))
		for {
			if _, err := c.conn.Write(many); err != nil {
				return err
			}
		}
	})
}

// frameBytes are the bytes of a frame.
func frameBytes(kind http2.FrameType, flags http2.Flags, id uint32, payload []byte) []byte {
	return append(appendH2Header(nil, len(payload), uint8(kind), uint8(flags), id), payload...)
}
