package listeners

import (
	"bytes"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"domainpark/query"
)

// h3Reading is what h3Stream makes of a stream.
type h3Reading struct {
	request webRequest
	body    string
	fault   *h3Fault
	failure string // an error that is none of the client's faults, and no end
	tired   int
}

func readH3Stream(from io.Reader) (r h3Reading) {
	in := newH3Stream(from, func() bool { r.tired++; return r.tired <= h3Patience })
	var fields webFields
	request, err := in.header(&fields)
	if err == nil {
		var body []byte
		body, err = io.ReadAll(in)
		r.body = string(body)
	}
	r.request, r.fault = request, in.fault
	if _, isFault := errors.AsType[*h3Fault](err); err != nil && !isFault {
		r.failure = err.Error()
	}
	return r
}

// FuzzH3Stream: it makes no difference how a request arrives, what is read of it is
// bounded, and a body is what the DATA frames hold.
func FuzzH3Stream(f *testing.F) {
	for _, c := range h3Cases() {
		if len(c.stream) <= 1<<12 {
			f.Add(c.stream)
		}
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		got, slowly := readH3Stream(bytes.NewReader(stream)), readH3Stream(iotest.OneByteReader(bytes.NewReader(stream)))
		if got != slowly {
			t.Errorf("%+v, and byte by byte %+v", got, slowly)
		}
		_, whole := h3Kinds(stream)
		frames := len(stream) / 2
		if got.tired > frames || len(got.body) > len(stream) || got.failure != "" && got.failure != errH3TooLong.Error() {
			t.Errorf("%+v from %d bytes", got, len(stream))
		}
		if got.fault == nil && got.failure == "" && !whole {
			t.Errorf("%+v, although the last frame is cut off", got)
		}
		// What the other reader of requests takes, this one takes for the same.
		if message := plainMessage(stream, &exchange{}); len(stream) <= packetBytes && message != nil {
			if got.fault != nil || got.failure != "" || got.request.kind == webPost && got.body != string(message) {
				t.Errorf("%+v, and in the usual form %x", got, message)
			}
		}
	})
}

// A client that sends a request in pieces of nothing gets no more than its patience's
// worth, and a request that does not tire gives some back.
func TestH3FramesWithinRequestsTireTheConnection(t *testing.T) {
	s := h3Server(t, cacheable, nil)
	c := dialH3(t, s)
	ask := func(frames int) (string, error) {
		stream, err := c.OpenStreamSync(t.Context())
		if err != nil {
			return "", err
		}
		_, _ = stream.Write(append(h3Post(plainQuery), bytes.Repeat(h3FrameOf(0x21, nil), frames)...))
		_ = stream.Close()
		answer, err := io.ReadAll(stream)
		return string(answer), err
	}
	for range 2 * h3Patience / h3PatienceA { // in which each makes good what it has cost
		if _, err := ask(h3PatienceA - 1); err != nil { // and one for its DATA frame
			t.Fatal(err)
		}
	}
	requests := 0
	for ; ; requests++ {
		if _, err := ask(2 * h3PatienceA); err != nil {
			break
		}
		if requests > 2*h3Patience/h3PatienceA {
			t.Fatal("the connection goes on")
		}
	}
	expectClosedWith(t, c, quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad))
	if requests < h3Patience/h3PatienceA/2 {
		t.Errorf("ended behind %d requests", requests)
	}
}

// Requests that dohHandler does not see are charged as one each, others by it alone.
func TestH3RequestsAreChargedOnce(t *testing.T) {
	for _, c := range h3Cases() {
		t.Run(c.name, func(t *testing.T) {
			account := new(limit)
			cfg := webConfig()
			cfg.DoH, cfg.Requests = []string{"127.0.0.1:0"}, account.admits
			var queries atomic.Int32
			s := start(t, cfg, resolverFunc(func(dst []byte, q *query.Query) []byte {
				if len(q.Message) >= 12 { // the resolver charges for these
					queries.Add(1)
				}
				return h3Resolver(dst, q)
			}))
			askH3(t, s, c.stream)
			s.stop(t)
			if charged, asked := account.asked.Load(), queries.Load(); charged+asked != 1 {
				t.Errorf("%d charges and %d queries, want one of either", charged, asked)
			}
		})
	}
}
