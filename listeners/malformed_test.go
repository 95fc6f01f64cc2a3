package listeners

import (
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
)

// h2Faults are requests that are reset, each on stream 1 of a connection of its own.
var h2Faults = []struct {
	name string
	send func(*h2Client) error
	code http2.ErrCode // that the stream is reset with
}{
	{"name in upper case", func(c *h2Client) error { return c.open(1, true, getHeader("/", "X", "y")...) }, http2.ErrCodeProtocol},
	{"no path", func(c *h2Client) error { return c.open(1, true, ":method", "GET", ":scheme", "https") }, http2.ErrCodeProtocol},
	{"path that is none", func(c *h2Client) error { return c.open(1, true, getHeader("/%zz")...) }, http2.ErrCodeProtocol},
	{"fields alone", func(c *h2Client) error { return c.open(1, true, "x", "y") }, http2.ErrCodeProtocol},
	{"depends on itself", func(c *h2Client) error {
		return c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.header(getHeader(getPath(plainQuery))...),
			EndStream: true, EndHeaders: true, Priority: http2.PriorityParam{StreamDep: 1}})
	}, http2.ErrCodeProtocol},
	{"body that is missing", func(c *h2Client) error { return c.open(1, true, postHeader("content-length", "29")...) }, http2.ErrCodeProtocol},
	{"body above its length", func(c *h2Client) error {
		_ = c.open(1, false, postHeader("content-length", "28")...)
		return c.WriteData(1, true, plainQuery)
	}, http2.ErrCodeProtocol},
	{"body below its length", func(c *h2Client) error {
		_ = c.open(1, false, postHeader("content-length", "30")...)
		return c.WriteData(1, true, plainQuery)
	}, http2.ErrCodeProtocol},
	{"body above its window", func(c *h2Client) error {
		_ = c.open(1, false, postHeader()...)
		for _, n := range []int{h2MaxPayload, h2MaxPayload, h2MaxPayload, h2MaxPayload - 1} { // the longest message
			_ = c.WriteData(1, false, make([]byte, n))
		}
		return c.WriteData(1, false, make([]byte, h2MaxPayload))
	}, http2.ErrCodeFlowControl},
	{"trailers that do not end it", func(c *h2Client) error {
		_ = c.open(1, false, postHeader()...)
		return c.open(1, false, "x", "y")
	}, http2.ErrCodeProtocol},
	{"window of nothing", func(c *h2Client) error {
		_ = c.open(1, false, postHeader()...)
		_, err := c.conn.Write(frameBytes(http2.FrameWindowUpdate, 0, 1, make([]byte, 4)))
		return err
	}, http2.ErrCodeProtocol},
	{"window above all", func(c *h2Client) error {
		_ = c.open(1, false, postHeader()...)
		return c.WriteWindowUpdate(1, h2MaxWindow)
	}, http2.ErrCodeFlowControl},
	{"priority of itself", func(c *h2Client) error {
		_ = c.open(1, false, postHeader()...)
		_, err := c.conn.Write(frameBytes(http2.FramePriority, 0, 1, []byte{0, 0, 0, 1, 0}))
		return err
	}, http2.ErrCodeProtocol},
}

// What is reset because it is no request is charged as one, once, as over HTTP/3;
// and so is a request whose client resets it, or goes away, before it is whole.
func TestHTTP2RequestsThatAreResetAreCharged(t *testing.T) {
	charged := func(t *testing.T, want int32, test func(*testing.T, *h2Client)) {
		account := new(limit)
		h2Bubble(t, Config{Requests: account.admits}, cacheable, func(t *testing.T, _ *h2Server, c *h2Client) {
			test(t, c)
			c.conn.Close()
			synctest.Wait()
			if n := account.asked.Load(); n != want {
				t.Errorf("charged %d times, want %d", n, want)
			}
		})
	}
	for _, f := range h2Faults {
		t.Run(f.name, func(t *testing.T) {
			charged(t, 1, func(t *testing.T, c *h2Client) {
				c.write(func() error { return f.send(c) })
				c.expectReset(1, f.code)
			})
		})
	}
	t.Run("reset by the client", func(t *testing.T) {
		charged(t, 1, func(t *testing.T, c *h2Client) {
			c.write(func() error {
				_ = c.open(1, false, postHeader()...)
				_ = c.WriteRSTStream(1, http2.ErrCodeCancel)
				return c.open(3, true, getHeader(getPath(plainQuery))...)
			})
			c.expectMessage(3, plainQuery)
		})
	})
	t.Run("left by the client", func(t *testing.T) {
		charged(t, 2, func(t *testing.T, c *h2Client) {
			c.write(func() error {
				_ = c.open(1, false, postHeader()...)
				_ = c.open(3, false, getHeader("/")...)
				return c.open(5, true, getHeader(getPath(plainQuery))...)
			})
			c.expectMessage(5, plainQuery)
		})
	})
	t.Run("answered, and not taken", func(t *testing.T) {
		charged(t, 0, func(t *testing.T, c *h2Client) {
			c.write(func() error {
				_ = c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize})
				_ = c.open(1, true, getHeader(getPath(plainQuery))...)
				_ = c.WriteRSTStream(1, http2.ErrCodeCancel)
				return c.WritePing(false, [8]byte{})
			})
			c.expect(http2.FrameSettings)
			c.expectStatus(1, "200")
			c.expect(http2.FramePing)
		})
	})
}

// What is lost because the server ends a connection is charged to nobody.
func TestHTTP2RequestsThatAreLostByUsAreNotCharged(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *h2Server, *h2Client){
		"drain": func(_ *testing.T, s *h2Server, _ *h2Client) {
			s.drain()
			s.wait()
		},
		"panic": func(_ *testing.T, _ *h2Server, c *h2Client) {
			c.write(func() error { return c.open(3, true, getHeader(getPath(plainQuery))...) })
			for c.next() != nil {
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			account := new(limit)
			h := &hazard{ledger: newLedger()}
			cfg := Config{Requests: account.admits, Connections: h, faults: &faults{log: slog.New(slog.DiscardHandler)}, Timeouts: Timeouts{Message: time.Minute, Shutdown: time.Second}}
			h2Bubble(t, cfg, cacheable, func(t *testing.T, s *h2Server, c *h2Client) {
				c.write(func() error { return c.open(1, false, postHeader()...) })
				synctest.Wait()
				h.arm("Touch")
				go func() { // net.Pipe has no room for what the server says at last
					if name == "drain" {
						_, _ = io.Copy(io.Discard, c.conn)
					}
				}()
				end(t, s, c)
				synctest.Wait()
				if n := account.asked.Load(); n != 0 {
					t.Errorf("charged %d times", n)
				}
			})
		})
	}
}

// Nor is what is lost because a connection has to make room for another.
func TestHTTP2RequestsThatMakeRoomAreNotCharged(t *testing.T) {
	account, accounts := new(limit), newLedger()
	cfg := webConfig()
	cfg.DoH, cfg.Requests, cfg.Connections = []string{"127.0.0.1:0"}, account.admits, accounts
	s := start(t, cfg, cacheable)
	conn := dialTLS(t, s.addrOf(t, "doh"), "h2")
	defer conn.Close()
	c := newH2Client(t, conn)
	c.greet()
	c.write(func() error {
		_ = c.open(1, false, postHeader()...)
		return c.WritePing(false, [8]byte{})
	})
	c.expect(http2.FramePing) // so the server has the request
	accounts.accounts()[0].evict()
	settled(t, "open connections", 0, accounts.open)
	if n := account.asked.Load(); n != 0 {
		t.Errorf("charged %d times", n)
	}
}

// Who sends nothing but them over the limit is told GOAWAY behind as many as over HTTP/3.
func TestMalformedHTTP2RequestsOverTheLimitEndTheConnection(t *testing.T) {
	account := new(limit)
	account.spent.Store(true)
	h2Bubble(t, Config{Requests: account.admits}, unasked(t), func(t *testing.T, _ *h2Server, c *h2Client) {
		c.write(func() error {
			for id := uint32(1); ; id += 2 {
				if err := c.open(id, true, getHeader("/", "X", "y")...); err != nil {
					return err
				}
			}
		})
		if n := c.expectEnd(http2.ErrCodeNo); n != maxStreams+1 {
			t.Errorf("%d resets before GOAWAY, want %d", n, maxStreams+1)
		}
	})
}
