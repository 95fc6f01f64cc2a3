package listeners

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/iotest"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"
)

// h3Numbers are a payload of some numbers.
func h3Numbers(numbers ...uint64) (payload []byte) {
	for _, n := range numbers {
		payload = quicvarint.Append(payload, n)
	}
	return payload
}

// h3ControlOf is a control stream: SETTINGS, and frames.
func h3ControlOf(frames ...[]byte) []byte {
	settings := h3FrameOf(h3Settings, h3Numbers(0x1, 0, 0x6, 16384, h3Datagrams, 1, h3ExtendedConnect, 0, 0x21, 9))
	return append(append([]byte{h3ControlStream}, settings...), bytes.Join(frames, nil)...)
}

// h3Cancellations is a decoder stream that cancels streams 0, 64 and 1<<62-4.
var h3Cancellations = []byte{h3DecoderStream, 0x40, 0x7f, 0x01, 0x7f, 0xbd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f}

// h3Aside is what a client opens beside its requests, and what ends the connection then;
// http3.ErrCodeNoError: nothing.
type h3Aside struct {
	name    string
	streams [][]byte
	end     bool // of the last one
	want    http3.ErrCode
}

func h3Asides() []h3Aside {
	control := func(frames ...[]byte) [][]byte { return [][]byte{h3ControlOf(frames...)} }
	settings := func(payload ...uint64) [][]byte {
		return [][]byte{append([]byte{h3ControlStream}, h3FrameOf(h3Settings, h3Numbers(payload...))...)}
	}
	priority := func(kind, id uint64) []byte { return h3FrameOf(kind, append(h3Numbers(id), "u=1, i"...)) }
	goAway := func(id uint64) []byte { return h3FrameOf(h3GoAway, h3Numbers(id)) }
	maxPush := func(id uint64) []byte { return h3FrameOf(h3MaxPushID, h3Numbers(id)) }
	return []h3Aside{
		{"all that may be", append(control(maxPush(0), maxPush(7), maxPush(7), goAway(1<<40), goAway(9), goAway(9), h3FrameOf(0x21, make([]byte, 9000)),
			priority(h3Priority, 4), h3FrameOf(h3Priority, h3Numbers(0))), []byte{h3EncoderStream, qpackCapacityZero, qpackCapacityZero}, h3Cancellations, []byte{0x21}, nil), true, http3.ErrCodeNoError},
		{"no settings in SETTINGS", settings(), false, http3.ErrCodeNoError},
		{"end of the control stream", control(), true, http3.ErrCodeClosedCriticalStream},
		{"end within a frame", [][]byte{h3ControlOf(h3FrameOf(0x21, []byte("xy"))[:2])}, true, http3.ErrCodeClosedCriticalStream},
		{"end within an ID", [][]byte{h3ControlOf(maxPush(1 << 40)[:4])}, true, http3.ErrCodeClosedCriticalStream},
		{"end within SETTINGS", [][]byte{h3ControlOf()[:9]}, true, http3.ErrCodeClosedCriticalStream},
		{"two control streams", append(control(), control()...), false, http3.ErrCodeStreamCreationError},
		{"two QPACK encoders", append(control(), []byte{h3EncoderStream}, []byte{h3EncoderStream}), false, http3.ErrCodeStreamCreationError},
		{"two QPACK decoders", [][]byte{{h3DecoderStream}, {h3DecoderStream}}, false, http3.ErrCodeStreamCreationError},
		{"push", append(control(), []byte{h3PushStream, 0}), false, http3.ErrCodeStreamCreationError},
		{"no SETTINGS", [][]byte{append([]byte{h3ControlStream}, goAway(0)...)}, false, http3.ErrCodeMissingSettings},
		{"SETTINGS twice", control(h3FrameOf(h3Settings, nil)), false, http3.ErrCodeFrameUnexpected},
		{"setting of HTTP/2", settings(0x6, 100, 0x3, 100), false, http3.ErrCodeSettingsError},
		{"half a datagram", settings(h3Datagrams, 2), false, http3.ErrCodeSettingsError},
		{"half a setting", settings(0x6), false, http3.ErrCodeFrameError},
		{"too many settings", settings(make([]uint64, h3SettingsBytes+1)...), false, http3.ErrCodeExcessiveLoad},
		{"request", control(h3Post(plainQuery)), false, http3.ErrCodeFrameUnexpected},
		{"data", control(h3FrameOf(h3Data, plainQuery)), false, http3.ErrCodeFrameUnexpected},
		{"promise", control(h3FrameOf(h3PushPromise, h3Numbers(0))), false, http3.ErrCodeFrameUnexpected},
		{"frame of HTTP/2", control(h3FrameOf(0x8, []byte{0})), false, http3.ErrCodeFrameUnexpected},
		{"GOAWAY that grows", control(goAway(1), goAway(2)), false, http3.ErrCodeIDError},
		{"GOAWAY of nothing", control(h3FrameOf(h3GoAway, nil)), false, http3.ErrCodeFrameError},
		{"GOAWAY with more behind", control(h3FrameOf(h3GoAway, h3Numbers(1, 1))), false, http3.ErrCodeFrameError},
		{"MAX_PUSH_ID that shrinks", control(maxPush(8), maxPush(7)), false, http3.ErrCodeIDError},
		{"MAX_PUSH_ID cut off", control(h3FrameOf(h3MaxPushID, []byte{0x40}), goAway(0)), false, http3.ErrCodeFrameError},
		{"CANCEL_PUSH", control(h3FrameOf(h3CancelPush, h3Numbers(0))), false, http3.ErrCodeIDError},
		{"priority of a unidirectional stream", control(priority(h3Priority, 2)), false, http3.ErrCodeIDError},
		{"priority of nothing", control(h3FrameOf(h3Priority, nil)), false, http3.ErrCodeFrameError},
		{"priority of a push", control(priority(h3PriorityOfPush, 0)), false, http3.ErrCodeIDError},
		{"frames without end", control(bytes.Repeat(h3FrameOf(0x21, nil), h3Patience)), false, http3.ErrCodeExcessiveLoad},
		{"type without end", append(control(), []byte{0x40}), true, http3.ErrCodeNoError},
		{"end of QPACK's encoder", append(control(), []byte{h3EncoderStream}), true, http3.ErrCodeClosedCriticalStream},
		{"end of QPACK's decoder", append(control(), h3Cancellations), true, http3.ErrCodeClosedCriticalStream},
		{"end within a cancellation", append(control(), h3Cancellations[:4]), true, http3.ErrCodeClosedCriticalStream},
		{"capacity of a byte", append(control(), []byte{h3EncoderStream, qpackCapacityZero, qpackCapacityZero | 1}), false, qpackEncoderStreamError},
		{"capacity of 31 bytes", append(control(), []byte{h3EncoderStream, qpackCapacityZero | 31, 0}), false, qpackEncoderStreamError},
		{"insertion with a static name", append(control(), []byte{h3EncoderStream, 0xc1, 0}), false, qpackEncoderStreamError},
		{"insertion with a name", append(control(), []byte{h3EncoderStream, 0x41, 'x', 0}), false, qpackEncoderStreamError},
		{"duplication", append(control(), []byte{h3EncoderStream, 0}), false, qpackEncoderStreamError},
		{"section acknowledgment", append(control(), []byte{h3DecoderStream, 0x80}), false, qpackDecoderStreamError},
		{"acknowledgment behind a cancellation", append(control(), append(bytes.Clone(h3Cancellations), 0x84)), false, qpackDecoderStreamError},
		{"insert count increment", append(control(), []byte{h3DecoderStream, 1}), false, qpackDecoderStreamError},
		{"cancellation of a stream that cannot be", append(control(), append([]byte{h3DecoderStream}, bytes.Repeat([]byte{0xff}, 12)...)), false, qpackDecoderStreamError},
		{"capacities without end", append(control(), append([]byte{h3EncoderStream}, bytes.Repeat([]byte{qpackCapacityZero}, h3Patience)...)), false, http3.ErrCodeExcessiveLoad},
		{"cancellations without end", append(control(), append([]byte{h3DecoderStream}, bytes.Repeat([]byte{qpackStreamCancellation}, h3Patience)...)), false, http3.ErrCodeExcessiveLoad},
		{"MAX_PUSH_ID without end", control(bytes.Repeat(maxPush(1), h3Patience)), false, http3.ErrCodeExcessiveLoad},
	}
}

func TestH3UnidirectionalStreams(t *testing.T) {
	s := h3Server(t, cacheable, nil)
	for _, c := range h3Asides() {
		t.Run(c.name, func(t *testing.T) {
			conn := dialQUIC(t, s.addrOf(t, "doh3"), clientTLS("h3"), nil)
			defer conn.CloseWithError(0, "")
			for i, data := range c.streams {
				stream, err := conn.OpenUniStream()
				if err != nil {
					break // the server has had enough
				}
				_, _ = stream.Write(data)
				if c.end && i == len(c.streams)-1 {
					_ = stream.Close()
				}
			}
			if c.want == http3.ErrCodeNoError {
				expectH3Answer(t, conn)
				return
			}
			expectClosedWith(t, conn, quic.ApplicationErrorCode(c.want))
		})
	}
}

// expectH3Answer asks a query over c and expects an answer.
func expectH3Answer(t *testing.T, c *quic.Conn) {
	t.Helper()
	stream := openStream(t, c, h3Post(plainQuery))
	stream.Close()
	if answer, err := io.ReadAll(stream); err != nil || !bytes.Contains(answer, plainQuery[12:]) {
		t.Fatalf("got %.60x, %v", answer, err)
	}
}

// TestH3StreamsWithoutMeaning: a client may open some, and as many again for its
// requests, but not for ever.
func TestH3StreamsWithoutMeaning(t *testing.T) {
	s := h3Server(t, cacheable, nil)
	c := dialH3(t, s)
	open := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		stream, err := c.OpenUniStreamSync(ctx)
		if err == nil {
			_, _ = stream.Write([]byte{0x21})
			_ = stream.Close()
		}
		return err
	}
	for range h3Patience / h3PatienceA {
		for range h3PatienceA { // all that a request makes good
			if err := open(); err != nil {
				t.Fatal(err)
			}
		}
		expectH3Answer(t, c)
	}
	expectH3Answer(t, c)
	opened := 0
	for ; open() == nil; opened++ {
		if opened > 2*h3Patience {
			t.Fatal("the connection goes on")
		}
	}
	expectClosedWith(t, c, quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad))
	if opened < h3Patience/2 {
		t.Errorf("ended after %d streams", opened)
	}
}

// TestH3RequestsWithoutEndThatAreNone: who is under no limit does not go on for ever
// either.
func TestH3RequestsWithoutEndThatAreNone(t *testing.T) {
	s := h3Server(t, cacheable, nil)
	c := dialH3(t, s)
	malformed := h3Post(plainQuery, "X-Name", "x")
	for n := 0; ; n++ {
		stream, err := c.OpenStreamSync(t.Context())
		if err != nil {
			break
		}
		_, _ = stream.Write(malformed)
		_ = stream.Close()
		if _, err = io.ReadAll(stream); err == nil || n > h3Patience {
			t.Fatalf("%d: %v", n, err)
		}
	}
	expectClosedWith(t, c, quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad))
}

// What is lost because the server ends a connection over HTTP/3 is charged to nobody,
// and what its client leaves or spoils is.
func TestHTTP3RequestsThatAreLostByUsAreNotCharged(t *testing.T) {
	for name, c := range map[string]struct {
		end     func(*testing.T, *quic.Conn, *ledger, *running)
		charged int32
	}{
		"left by the client": {func(_ *testing.T, c *quic.Conn, _ *ledger, _ *running) { c.CloseWithError(0, "") }, 1},
		"spoiled by the client": {func(t *testing.T, c *quic.Conn, _ *ledger, _ *running) {
			stream, err := c.OpenUniStream()
			if err != nil {
				t.Fatal(err)
			}
			_, _ = stream.Write([]byte{h3PushStream})
		}, 1},
		"makes room": {func(_ *testing.T, _ *quic.Conn, l *ledger, _ *running) { l.accounts()[0].evict() }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			account, accounts := new(limit), newLedger()
			cfg := webConfig()
			cfg.DoH, cfg.Requests, cfg.Connections = []string{"127.0.0.1:0"}, account.admits, accounts
			s := start(t, cfg, cacheable)
			conn := dialH3(t, s)
			openStream(t, conn, h3Post(plainQuery)[:20])
			expectH3Answer(t, conn) // so the server has the other one
			c.end(t, conn, accounts, s)
			settled(t, "open connections", 0, accounts.open)
			s.stop(t)
			if n := account.asked.Load(); n != c.charged {
				t.Errorf("charged %d times, want %d", n, c.charged)
			}
		})
	}
}

// TestH3StreamWhoseTypeDoesNotCome: it is cancelled, and its connection goes on.
func TestH3StreamWhoseTypeDoesNotCome(t *testing.T) {
	cfg := webConfig()
	cfg.DoH, cfg.Timeouts.Message = []string{"127.0.0.1:0"}, 50*time.Millisecond
	c := dialH3(t, start(t, cfg, cacheable))
	stream, err := c.OpenUniStream()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = stream.Write([]byte{0x40}) // the first of two bytes
	select {
	case <-stream.Context().Done():
	case <-time.After(patience):
		t.Fatal("the stream is still open")
	}
	cancelled, ok := errors.AsType[*quic.StreamError](context.Cause(stream.Context()))
	if !ok || !cancelled.Remote || cancelled.ErrorCode != quic.StreamErrorCode(http3.ErrCodeStreamCreationError) {
		t.Errorf("ended with %v", context.Cause(stream.Context()))
	}
	expectH3Answer(t, c)
}

// TestH3CriticalStreamsOutliveTheTimeForTheirType: what is late behind the type is taken.
func TestH3CriticalStreamsOutliveTheTimeForTheirType(t *testing.T) {
	cfg := webConfig()
	cfg.DoH, cfg.Timeouts.Message = []string{"127.0.0.1:0"}, 50*time.Millisecond
	c := dialH3(t, start(t, cfg, cacheable))
	var streams []*quic.SendStream
	for _, kind := range []byte{h3EncoderStream, h3DecoderStream, 0x40} {
		stream, err := c.OpenUniStream()
		if err != nil {
			t.Fatal(err)
		}
		_, _ = stream.Write([]byte{kind})
		streams = append(streams, stream)
	}
	<-streams[2].Context().Done() // as its time is over, so is that of those before it
	_, _ = streams[0].Write([]byte{qpackCapacityZero})
	_, _ = streams[1].Write(h3Cancellations[1:])
	expectH3Answer(t, c)
	_, _ = streams[1].Write([]byte{0})
	expectClosedWith(t, c, quic.ApplicationErrorCode(qpackDecoderStreamError))
}

// FuzzH3Control: it makes no difference how a critical stream arrives, and one that has
// ended ends the connection.
func FuzzH3Control(f *testing.F) {
	for _, c := range h3Asides() {
		for _, stream := range c.streams {
			f.Add(stream)
		}
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		kind, n, err := quicvarint.Parse(stream)
		if err != nil {
			return
		}
		stream = stream[n:]
		read := func(from *bufio.Reader) (code http3.ErrCode, reason string, tired int) {
			code, reason = readH3Critical(kind, from, func() bool { tired++; return tired <= h3Patience })
			return code, reason, tired
		}
		code, reason, frames := read(bufio.NewReaderSize(bytes.NewReader(stream), h3ControlBytes))
		slow, slowly, slowFrames := read(bufio.NewReaderSize(iotest.OneByteReader(bytes.NewReader(stream)), h3ControlBytes))
		if code != slow || reason != slowly || frames != slowFrames {
			t.Errorf("%v %q behind %d frames, and byte by byte %v %q behind %d", code, reason, frames, slow, slowly, slowFrames)
		}
		if code < http3.ErrCodeNoError || frames > len(stream) || reason == "" && frames <= h3Patience {
			t.Errorf("%v %q behind %d frames of %d bytes", code, reason, frames, len(stream))
		}
	})
}
