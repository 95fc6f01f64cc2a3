package listeners

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// script is a client that has said everything, in pieces, and takes everything.
type script struct {
	net.Conn // nil: nothing else is used
	in       []byte
	piece    int
	out      bytes.Buffer
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.in[:min(len(s.in), s.piece)])
	s.in = s.in[n:]
	return n, nil
}

func (s *script) Write(p []byte) (int, error) { return s.out.Write(p) }
func (s *script) Close() error                { return nil }
func (s *script) SetDeadline(time.Time) error { return nil }
func (s *script) RemoteAddr() net.Addr        { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// FuzzH2Frames: whatever a client says behind the preface, the connection does
// not panic, holds nothing when it has ended, sends no more than a multiple of
// what it got, and what it sends is HTTP/2 to x/net's framer. Where that finds a
// mistake in the client's frames that ends a connection, ours has ended.
func FuzzH2Frames(f *testing.F) {
	settings := frameBytes(http2.FrameSettings, 0, 0, nil)
	for _, seed := range h2Seeds() {
		f.Add(append(bytes.Clone(settings), bytes.Join(seed, nil)...), uint16(1<<15))
		f.Add(append(bytes.Clone(settings), bytes.Join(seed, nil)...), uint16(7))
	}
	cfg := Config{Log: slog.New(slog.DiscardHandler)}.withDefaults()
	f.Fuzz(func(t *testing.T, data []byte, piece uint16) {
		if len(data) > 1<<16 {
			return
		}
		client := &script{in: append([]byte(http2.ClientPreface), data...), piece: int(piece) + 1}
		server := newH2Server(&cfg, &dohHandler{resolver: cacheable, cfg: &cfg})
		c := newH2Conn(server, client, client, unlimited{time.Hour})
		err := c.serve()
		c.close()
		if held := h2Held.Load(); held != 0 || c.held != 0 {
			t.Fatalf("%d and %d bytes are held after the end", held, c.held)
		}
		const most = 64 // a request of 12 bytes gets a 404 of 400
		if n := client.out.Len(); n > most*len(data)+1024 {
			t.Fatalf("%d bytes for %d", n, len(data))
		}
		checkH2Output(t, client.out.Bytes())
		var ours h2Code
		if violation := framerError(data); violation != nil && !errors.As(err, &ours) && err != errSpent {
			t.Fatalf("x/net says %v, ours ended with %v", violation, err)
		}
	})
}

// framerError is the first mistake in complete frames that x/net's framer finds
// and that ends a connection. It takes two for one that are none: PRIORITY of
// another length is an error of the stream (RFC 9113 §6.3), and PRIORITY_UPDATE
// (RFC 9218) is unknown to us.
func framerError(data []byte) error {
	const priorityUpdate = 0x10
	rest := bytes.NewReader(data)
	framer := http2.NewFramer(io.Discard, rest)
	framer.SetMaxReadFrameSize(h2MaxPayload)
	for {
		at := data[len(data)-rest.Len():]
		if len(at) < h2FrameHeaderBytes {
			return nil
		}
		n := int(at[0])<<16 | int(at[1])<<8 | int(at[2])
		if n <= h2MaxPayload && h2FrameHeaderBytes+n > len(at) {
			return nil
		}
		_, err := framer.ReadFrame()
		switch _, stream := err.(http2.StreamError); {
		case err == nil, stream:
		case at[3] == priorityUpdate, at[3] == h2Priority && n != 5:
			return nil // the framer goes no further
		default:
			return err
		}
	}
}

// checkH2Output reads what a server sent: SETTINGS first, frames in order, one
// answer a stream, nothing behind its end, header blocks that can be decoded.
func checkH2Output(t *testing.T, out []byte) {
	t.Helper()
	framer := http2.NewFramer(io.Discard, bytes.NewReader(out))
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	answered, ended := map[uint32]bool{}, map[uint32]bool{}
	for n := 0; ; n++ {
		f, err := framer.ReadFrame()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatalf("frame %d: %v", n, err)
		}
		if _, first := f.(*http2.SettingsFrame); n == 0 && !first {
			t.Fatalf("%v comes first", f)
		}
		id := f.Header().StreamID
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			if f.PseudoValue("status") == "100" {
				continue
			}
			if answered[id] || ended[id] {
				t.Fatalf("stream %d has two answers", id)
			}
			answered[id], ended[id] = true, f.StreamEnded()
		case *http2.DataFrame:
			if !answered[id] || ended[id] {
				t.Fatalf("stream %d has DATA out of place", id)
			}
			ended[id] = f.StreamEnded()
		case *http2.RSTStreamFrame:
			ended[id] = true
		}
	}
}

// h2Seeds are conversations, frame by frame: each kind of frame, padding,
// priority, split headers, and the floods.
func h2Seeds() [][][]byte {
	var c h2Client
	c.encoder = hpack.NewEncoder(&c.block)
	get, post := c.header(getHeader(getPath(plainQuery))...), c.header(postHeader()...)
	again, page := c.header(postHeader()...), c.header(getHeader("/")...)
	const endHeaders, end = http2.FlagHeadersEndHeaders, http2.FlagHeadersEndStream
	headers := func(id uint32, flags http2.Flags, block []byte) []byte {
		return frameBytes(http2.FrameHeaders, flags, id, block)
	}
	body := frameBytes(http2.FrameData, http2.FlagDataEndStream, 3, plainQuery)
	return [][][]byte{
		{headers(1, endHeaders|end, get), headers(3, endHeaders, post), body, headers(5, endHeaders|end, again), headers(7, endHeaders|end, page)},
		{headers(1, 0, get[:9]), frameBytes(http2.FrameContinuation, 0, 1, get[9:20]), frameBytes(http2.FrameContinuation, endHeaders, 1, get[20:])},
		{headers(1, endHeaders|end|http2.FlagHeadersPadded|http2.FlagHeadersPriority, append(append([]byte{3, 0, 0, 0, 0, 9}, get...), 0, 0, 0))},
		{headers(1, endHeaders|end, get), headers(3, endHeaders, post), frameBytes(http2.FrameData, http2.FlagDataPadded, 3, append([]byte{9}, make([]byte, 20)...)), headers(3, endHeaders|end, nil)},
		{frameBytes(http2.FrameSettings, 0, 0, []byte{0, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}), headers(1, endHeaders|end, get), frameBytes(http2.FrameWindowUpdate, 0, 1, []byte{0, 0, 0, 9}), frameBytes(http2.FrameSettings, 0, 0, []byte{0, 4, 0, 0, 9, 0})},
		{headers(1, endHeaders|end, get), headers(3, endHeaders, post), frameBytes(http2.FrameRSTStream, 0, 3, make([]byte, 4)), body, frameBytes(http2.FramePing, 0, 0, make([]byte, 8))},
		{frameBytes(http2.FramePriority, 0, 3, []byte{0, 0, 0, 3, 9}), frameBytes(http2.FrameGoAway, 0, 0, make([]byte, 8)), frameBytes(99, 0xff, 5, nil), frameBytes(http2.FrameWindowUpdate, 0, 0, []byte{0x7f, 0xff, 0xff, 0xff})},
		{frameBytes(http2.FramePriority, 0, 3, []byte{0, 0, 0, 3, 0}), headers(1, endHeaders|end, get), headers(3, endHeaders, post), body},
		{headers(1, endHeaders|end, get), headers(3, endHeaders, post), frameBytes(http2.FramePriority, 0, 3, []byte{0, 0, 0, 1}), body, headers(5, endHeaders|end, again)},
		{frameBytes(http2.FramePushPromise, endHeaders, 1, []byte{0, 0, 0, 2}), headers(2, endHeaders|end, get)},
		{bytes.Repeat(frameBytes(http2.FramePing, 0, 0, make([]byte, 8)), 2*h2Patience)},
	}
}
