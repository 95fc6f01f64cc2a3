package listeners

import (
	"testing"

	"golang.org/x/net/http2"
)

// Frames that may come at any time and are wrong: an open stream is reset and
// gets no answer besides, one that does not exist can't be reset (RFC 9113 §6.4).
func TestH2WrongPriorityEndsTheStreamOrTheConnection(t *testing.T) {
	for name, c := range map[string]struct {
		payload []byte
		code    http2.ErrCode
	}{
		"of itself":         {[]byte{0, 0, 0, 1, 0}, http2.ErrCodeProtocol},
		"of another length": {[]byte{0, 0, 0, 3}, http2.ErrCodeFrameSize},
	} {
		wrong := frameBytes(http2.FramePriority, 0, 1, c.payload)
		t.Run(name+", open", func(t *testing.T) {
			h2Bubble(t, Config{}, cacheable, func(t *testing.T, s *h2Server, h *h2Client) {
				h.write(func() error {
					_ = h.open(1, false, postHeader()...)
					_, _ = h.conn.Write(wrong)
					_ = h.WriteData(1, true, plainQuery)
					return h.open(3, true, getHeader(getPath(plainQuery))...)
				})
				h.expectReset(1, c.code)
				h.expectMessage(3, plainQuery)
			})
		})
		t.Run(name+", idle", func(t *testing.T) {
			h2Bubble(t, Config{}, unasked(t), func(t *testing.T, s *h2Server, h *h2Client) {
				h.write(func() error { _, err := h.conn.Write(wrong); return err })
				if n := h.expectEnd(c.code); n != 0 {
					t.Errorf("%d frames came before GOAWAY", n)
				}
			})
		})
	}
}

// Even numbers are streams of the server, which opens none.
func TestH2EvenStreamsAreIdle(t *testing.T) {
	for name, frame := range map[string][]byte{
		"DATA":          frameBytes(http2.FrameData, http2.FlagDataEndStream, 2, plainQuery),
		"WINDOW_UPDATE": frameBytes(http2.FrameWindowUpdate, 0, 2, []byte{0, 0, 0, 1}),
		"RST_STREAM":    frameBytes(http2.FrameRSTStream, 0, 2, make([]byte, 4)),
	} {
		t.Run(name, func(t *testing.T) {
			h2Bubble(t, Config{}, cacheable, func(t *testing.T, s *h2Server, c *h2Client) {
				c.write(func() error {
					_ = c.open(5, true, getHeader(getPath(plainQuery))...)
					_, err := c.conn.Write(frame)
					return err
				})
				c.expectMessage(5, plainQuery)
				if n := c.expectEnd(http2.ErrCodeProtocol); n != 0 {
					t.Errorf("%d frames came before GOAWAY", n)
				}
			})
		})
	}
}

// What was on its way for a stream when we reset it is no error (RFC 9113 §5.1):
// trailers are decoded, for their share in HPACK's state, and dropped.
func TestH2TrailersOfAResetStreamAreDropped(t *testing.T) {
	h2Bubble(t, Config{}, cacheable, func(t *testing.T, s *h2Server, c *h2Client) {
		c.write(func() error {
			_ = c.open(1, false, postHeader("content-length", "100000")...)
			_ = c.WriteData(1, false, make([]byte, 1000))
			_ = c.open(1, true, "x-checksum", "kept in the table")
			return c.open(3, true, getHeader(getPath(plainQuery), "x-checksum", "kept in the table")...)
		})
		c.expectStatus(1, "413")
		c.expect(http2.FrameData)
		c.expectReset(1, http2.ErrCodeNo)
		c.expectMessage(3, plainQuery)
	})
}
