package listeners

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"domainpark/query"
)

// Floods of frames that ask for nothing end with ENHANCE_YOUR_CALM, soon and
// without a queue: what the client has not taken is not written.
func TestH2FloodsEndTheConnection(t *testing.T) {
	block := []byte{0x83, 0x87, 0x84} // POST, https, /
	open := frameBytes(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 1, append(block, 0x01, 1, 'a'))
	for name, c := range map[string]struct{ first, again []byte }{
		"PING":                        {nil, frameBytes(http2.FramePing, 0, 0, make([]byte, 8))},
		"SETTINGS":                    {nil, frameBytes(http2.FrameSettings, 0, 0, nil)},
		"SETTINGS, thousands in one":  {nil, frameBytes(http2.FrameSettings, 0, 0, bytes.Repeat([]byte{0, 9, 0, 0, 0, 0}, 2700))},
		"SETTINGS acknowledged":       {nil, frameBytes(http2.FrameSettings, http2.FlagSettingsAck, 0, nil)},
		"WINDOW_UPDATE":               {nil, frameBytes(http2.FrameWindowUpdate, 0, 0, []byte{0, 0, 0, 1})},
		"WINDOW_UPDATE of one stream": {open, frameBytes(http2.FrameWindowUpdate, 0, 1, []byte{0, 0, 0, 1})},
		"PRIORITY":                    {nil, frameBytes(http2.FramePriority, 0, 1, []byte{0, 0, 0, 3, 1})},
		"RST_STREAM":                  {append(bytes.Clone(open), frameBytes(http2.FrameRSTStream, 0, 1, make([]byte, 4))...), frameBytes(http2.FrameRSTStream, 0, 1, make([]byte, 4))},
		"DATA without data":           {open, frameBytes(http2.FrameData, 0, 1, nil)},
		"DATA of a closed stream":     {append(bytes.Clone(open), frameBytes(http2.FrameRSTStream, 0, 1, make([]byte, 4))...), frameBytes(http2.FrameData, 0, 1, []byte{1})},
		"DATA that is padding":        {open, frameBytes(http2.FrameData, http2.FlagDataPadded, 1, append([]byte{200}, make([]byte, 200)...))},
		"CONTINUATION without fields": {frameBytes(http2.FrameHeaders, 0, 1, block), frameBytes(http2.FrameContinuation, 0, 1, nil)},
		"CONTINUATION":                {frameBytes(http2.FrameHeaders, 0, 1, block), frameBytes(http2.FrameContinuation, 0, 1, append([]byte{0, 1, 'a', 127, 0x80, 1}, make([]byte, 255)...))},
		"unknown":                     {nil, frameBytes(99, 0, 0, nil)},
	} {
		t.Run(name, func(t *testing.T) {
			h2Bubble(t, Config{}, unasked(t), func(t *testing.T, s *h2Server, c2 *h2Client) {
				c2.repeat(c.first, c.again)
				if n := c2.expectEnd(http2.ErrCodeEnhanceYourCalm); n > 2*h2Patience {
					t.Errorf("%d frames were sent", n)
				}
			})
		})
	}
}

// unasked fails the test when a query comes through.
func unasked(t *testing.T) Resolver {
	return resolverFunc(func(dst []byte, _ *query.Query) []byte {
		t.Error("a query came through")
		return dst
	})
}

// TestH2RapidResetEndsTheConnection: CVE-2023-44487.
func TestH2RapidResetEndsTheConnection(t *testing.T) {
	h2Bubble(t, Config{}, unasked(t), func(t *testing.T, s *h2Server, c *h2Client) {
		c.write(func() error {
			for id := uint32(1); ; id += 2 {
				if err := c.open(id, false, postHeader()...); err != nil {
					return err
				}
				if err := c.WriteRSTStream(id, http2.ErrCodeCancel); err != nil {
					return err
				}
			}
		})
		c.expectEnd(http2.ErrCodeEnhanceYourCalm)
	})
}

// Streams that are opened and left get 408 after Timeouts.Message; those above
// the limit are refused at once and cost patience.
func TestH2HalfOpenStreamsAreBounded(t *testing.T) {
	l := newLedger()
	l.streams = 3
	h2Bubble(t, Config{Connections: l, Timeouts: Timeouts{Message: 2 * time.Second}}, unasked(t), func(t *testing.T, s *h2Server, c *h2Client) {
		begin := time.Now()
		c.write(func() error {
			for id := uint32(1); id <= 7; id += 2 {
				if err := c.open(id, false, postHeader()...); err != nil {
					return err
				}
			}
			return nil
		})
		c.expectReset(7, http2.ErrCodeRefusedStream)
		for id := uint32(1); id <= 5; id += 2 {
			c.expectStatus(id, "408")
			c.expect(http2.FrameData)
			c.expectReset(id, http2.ErrCodeNo)
		}
		if d := time.Since(begin); d != 2*time.Second {
			t.Errorf("after %v, want 2 s", d)
		}
	})
}

// A client that drips frames keeps the connection no longer than a silent one.
func TestH2IdleTimeIsNotExtended(t *testing.T) {
	ping := frameBytes(http2.FramePing, http2.FlagPingAck, 0, make([]byte, 8))
	for name, piece := range map[string]int{"whole frames": len(ping), "split frames": 5} {
		t.Run(name, func(t *testing.T) {
			h2Bubble(t, Config{}, unasked(t), func(t *testing.T, s *h2Server, c *h2Client) {
				begin := time.Now()
				c.write(func() error {
					for data := bytes.Repeat(ping, 1000); ; data = data[piece:] {
						if _, err := c.conn.Write(data[:piece]); err != nil {
							return err
						}
						time.Sleep(time.Second / 4)
					}
				})
				c.expectEnd(http2.ErrCodeNo)
				if d := time.Since(begin); d < 10*time.Second || d > 14*time.Second+time.Second {
					t.Errorf("closed after %v, want idle time and at most the time of a frame and the lingering", d)
				}
			})
		})
	}
}

// What has begun must be complete within Timeouts.Message.
func TestH2UnfinishedFramesEndTheConnection(t *testing.T) {
	for name, data := range map[string][]byte{
		"half a frame":        frameBytes(http2.FramePing, 0, 0, make([]byte, 8))[:12],
		"half a header":       frameBytes(http2.FrameHeaders, 0, 1, []byte{0x82}),
		"half a frame header": {0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			h2Bubble(t, Config{}, unasked(t), func(t *testing.T, s *h2Server, c *h2Client) {
				begin := time.Now()
				c.write(func() error { _, err := c.conn.Write(data); return err })
				f := c.expect(http2.FrameGoAway).(*http2.GoAwayFrame)
				if d := time.Since(begin); d != 3*time.Second || f.ErrCode != http2.ErrCodeNo {
					t.Errorf("%v after %v, want 3 s", f, d)
				}
			})
		})
	}
}

// A peer that gives no window gets headers, and no more than h2HeldBytes of
// answers are kept for it; they are gone after Timeouts.Write.
func TestH2ZeroWindowHoldsLittleAndNotForLong(t *testing.T) {
	long := testMessage(0, 8000)
	h2Bubble(t, Config{}, cacheable, func(t *testing.T, s *h2Server, c *h2Client) {
		c.write(func() error { return c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}) })
		c.expect(http2.FrameSettings)
		const n = 80
		c.write(func() error {
			for id := uint32(1); id < 2*n; id += 2 {
				if err := c.open(id, true, getHeader(getPath(long))...); err != nil {
					return err
				}
			}
			return nil
		})
		begin := time.Now()
		waiting, refused, canceled := 0, 0, 0
		for range n {
			switch f := c.next().(type) {
			case *http2.MetaHeadersFrame:
				waiting++
			case *http2.RSTStreamFrame:
				if f.ErrCode != http2.ErrCodeRefusedStream {
					t.Fatalf("got %v", f)
				}
				refused++
			}
		}
		if held := h2Held.Load(); held > h2HeldBytes || held != int64(waiting*len(long)) || refused == 0 {
			t.Errorf("%d answers wait, %d bytes are held, %d streams were refused", waiting, held, refused)
		}
		for range waiting {
			if f := c.expect(http2.FrameRSTStream).(*http2.RSTStreamFrame); f.ErrCode == http2.ErrCodeCancel {
				canceled++
			}
		}
		if d := time.Since(begin); canceled != waiting || d != 3*time.Second || h2Held.Load() != 0 {
			t.Errorf("%d of %d canceled after %v, %d bytes held", canceled, waiting, d, h2Held.Load())
		}
	})
}

// A peer that reads nothing at all is cut off after Timeouts.Write, and a little.
func TestH2PeerThatDoesNotReadIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := &Config{}
		s, conn := h2Pipe(t, cfg, cacheable)
		begin := time.Now()
		conn.Write([]byte(http2.ClientPreface))
		s.running.Wait()
		if d := time.Since(begin); d < 3*time.Second || d > 3*time.Second+3*time.Second/writeSlack {
			t.Errorf("cut off after %v, want 3 s", d)
		}
	})
}

// Bodies that do not end: memory is bounded by the windows, and by all
// connections together.
func TestH2BodiesAreHeldWithinTheWindow(t *testing.T) {
	h2Bubble(t, Config{}, unasked(t), func(t *testing.T, s *h2Server, c *h2Client) {
		part := make([]byte, 16<<10)
		c.write(func() error {
			for id := uint32(1); ; id += 2 {
				if err := c.open(id, false, postHeader()...); err != nil {
					return err
				}
				for range 3 { // without a look at the window of the connection
					if err := c.WriteData(id, false, part); err != nil {
						return err
					}
				}
			}
		})
		c.expectEnd(http2.ErrCodeFlowControl)
		synctest.Wait()
	})
	h2Bubble(t, Config{}, unasked(t), func(t *testing.T, s *h2Server, c *h2Client) {
		defer h2Held.Store(0)
		h2Held.Store(h2AllHeldBytes)
		c.write(func() error {
			if err := c.open(1, false, postHeader()...); err != nil {
				return err
			}
			return c.WriteData(1, false, make([]byte, 1000))
		})
		c.expectStatus(1, "503")
		c.expect(http2.FrameData)
		c.expectReset(1, http2.ErrCodeNo)
	})
}

// TestH2HeaderBombs: HPACK makes much out of little.
func TestH2HeaderBombs(t *testing.T) {
	h2Bubble(t, Config{}, cacheable, func(t *testing.T, s *h2Server, c *h2Client) {
		c.write(func() error {
			long := append(getHeader(getPath(plainQuery)), "x", strings.Repeat("a", 3900))
			if err := c.open(1, true, long...); err != nil { // 3900 bytes in the table
				return err
			}
			for range 1000 { // one byte each
				long = append(long, "x", strings.Repeat("a", 3900))
			}
			if err := c.open(3, true, long...); err != nil {
				return err
			}
			return c.open(5, true, getHeader(getPath(plainQuery))...)
		})
		c.expectMessage(1, plainQuery)
		c.expectStatus(3, "431")
		c.expect(http2.FrameData)
		c.expectMessage(5, plainQuery) // the table is what it was
	})
	for name, block := range map[string][]byte{
		"table above the setting": {0x3f, 0xe2, 0x1f}, // 4097
		"index of nothing":        {0xff, 0xff, 0xff, 0x7f},
		"integer without end":     bytes.Repeat([]byte{0xff}, 100),
		"string beyond its block": {0x40, 1, 'a', 0x7f, 0xff, 0x7f},
	} {
		t.Run(name, func(t *testing.T) {
			h2Bubble(t, Config{}, cacheable, func(t *testing.T, s *h2Server, c *h2Client) {
				c.write(func() error {
					return c.WriteRawFrame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 1, block)
				})
				c.expectEnd(http2.ErrCodeCompression)
			})
		})
	}
	t.Run("string above any header", func(t *testing.T) {
		h2Bubble(t, Config{}, cacheable, func(t *testing.T, s *h2Server, c *h2Client) {
			length := binary.AppendUvarint([]byte{0, 1, 'a', 0x7f}, 1<<20)
			c.write(func() error { return c.WriteRawFrame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 1, length) })
			c.expectEnd(http2.ErrCodeEnhanceYourCalm)
		})
	})
}
