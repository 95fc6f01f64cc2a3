package listeners

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// What a client does beside its requests is http3's to judge (RFC 9114 §6.2,
// §7.2), and it still is while requests pass it by.
func TestH3UnidirectionalStreams(t *testing.T) {
	settings := append([]byte{0}, h3FrameOf(4, nil)...)
	cases := []struct {
		name    string
		streams [][]byte
		end     bool // of the last one
		want    http3.ErrCode
	}{
		{"end of the control stream", [][]byte{settings}, true, http3.ErrCodeClosedCriticalStream},
		{"two control streams", [][]byte{settings, settings}, false, http3.ErrCodeStreamCreationError},
		{"no settings", [][]byte{append([]byte{0}, h3FrameOf(7, []byte{0})...)}, false, http3.ErrCodeMissingSettings},
		{"settings twice", [][]byte{append(bytes.Clone(settings), h3FrameOf(4, nil)...)}, false, http3.ErrCodeFrameUnexpected},
		{"request on the control stream", [][]byte{append(bytes.Clone(settings), h3Post(plainQuery)...)}, false, http3.ErrCodeFrameUnexpected},
		{"frame of HTTP/2", [][]byte{append(bytes.Clone(settings), h3FrameOf(8, []byte{0})...)}, false, http3.ErrCodeFrameUnexpected},
		{"two QPACK encoders", [][]byte{settings, {2}, {2}}, false, http3.ErrCodeStreamCreationError},
		{"push", [][]byte{settings, {1, 0}}, false, http3.ErrCodeStreamCreationError},
	}
	s := h3Server(t, cacheable, nil)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			conn := dialQUIC(t, s.addrOf(t, "doh3"), clientTLS("h3"), nil)
			for i, data := range c.streams {
				stream, err := conn.OpenUniStream()
				if err != nil {
					t.Fatal(err)
				}
				_, _ = stream.Write(data) // the server may have had enough
				if c.end && i == len(c.streams)-1 {
					_ = stream.Close()
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			select {
			case <-conn.Context().Done():
			case <-ctx.Done():
				t.Fatal("the connection stays open")
			}
			closed, ok := errors.AsType[*quic.ApplicationError](context.Cause(conn.Context()))
			if !ok || http3.ErrCode(closed.ErrorCode) != c.want {
				t.Errorf("closed with %v, want %v", context.Cause(conn.Context()), c.want)
			}
		})
	}
}
