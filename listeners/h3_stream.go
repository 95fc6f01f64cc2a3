package listeners

import (
	"bufio"
	"errors"
	"io"

	"github.com/quic-go/qpack"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"
	"golang.org/x/net/http2/hpack"
)

const (
	// h3RequestBytes are read of a request at once.
	h3RequestBytes = 512

	// h3SkippedBytes are what frames of unknown types may hold in a request, all
	// together. Clients send some ten bytes, to keep servers flexible (RFC 9114 §7.2.8).
	h3SkippedBytes = 4096
)

// h3Fault is what a client did against the rules of HTTP/3, and what it ends.
type h3Fault struct {
	code       http3.ErrCode
	reason     string
	connection bool // and not only the stream
}

// Error implements error.
func (f *h3Fault) Error() string { return f.reason }

// What a request can have wrong with it.
var (
	h3CutOff     = &h3Fault{http3.ErrCodeFrameError, "frame that the end of its stream cuts off", true}                     // RFC 9114 §7.1
	h3OutOfPlace = &h3Fault{http3.ErrCodeFrameUnexpected, "frame that has no place there in a request", true}               // §4.1
	h3Tired      = &h3Fault{http3.ErrCodeExcessiveLoad, "", true}                                                           // tire has said so
	h3Unpacked   = &h3Fault{http3.ErrCodeQPACKDecompressionFailed, "field section that cannot be decoded", true}            // RFC 9204 §6
	h3Stuffed    = &h3Fault{http3.ErrCodeExcessiveLoad, "too much beside the request", false}                               // RFC 9114 §10.5
	h3Incomplete = &h3Fault{http3.ErrCodeRequestIncomplete, "end of the stream before that of the request's header", false} // §4.1
	h3Malformed  = &h3Fault{http3.ErrCodeMessageError, "malformed request", false}                                          // §4.1.2
)

// errH3TooLong is a header above maxHeaderBytes. It is no fault: the client is told.
var errH3TooLong = errors.New("the header is too long")

// h3Stream reads the frames of one request (RFC 9114 §4.1), each as it arrives. It is
// the Body of the request as well. Who has it is one goroutine.
type h3Stream struct {
	from *bufio.Reader
	tire func() bool // takes from the connection's patience: see h3Conn.tire

	fault   *h3Fault // the first one, when there was one
	skipped uint64   // bytes of frames of unknown types
	left    uint64   // bytes of the DATA frame that is being read
	length  int64    // what content-length says is still to come; -1: it says nothing
	trailed bool     // trailers have come: nothing with a meaning may follow
}

func newH3Stream(s io.Reader, tire func() bool) *h3Stream {
	return &h3Stream{from: bufio.NewReaderSize(s, h3RequestBytes), tire: tire, length: -1}
}

// fail notes the first fault of the client's.
func (s *h3Stream) fail(f *h3Fault) error {
	if s.fault == nil {
		s.fault = f
	}
	return s.fault
}

// frame reads as far as the payload of the next DATA or HEADERS frame. Its error is a
// fault, or that of the stream: io.EOF where the request may end.
func (s *h3Stream) frame() (kind, length uint64, err error) {
	for {
		if _, err := s.from.Peek(1); err != nil {
			return 0, 0, err
		}
		if kind, err = quicvarint.Read(s.from); err == nil {
			length, err = quicvarint.Read(s.from)
		}
		if err != nil {
			return 0, 0, s.within(err)
		}
		switch kind {
		case h3Data, h3Headers:
			return kind, length, nil
		case h3CancelPush, h3Settings, h3PushPromise, h3GoAway, h3MaxPushID, h3Priority, h3PriorityOfPush, 0x2, 0x6, 0x8, 0x9:
			return 0, 0, s.fail(h3OutOfPlace)
		}
		if err := s.skip(length); err != nil {
			return 0, 0, err
		}
	}
}

// within is what err means in the middle of a frame.
func (s *h3Stream) within(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return s.fail(h3CutOff)
	}
	return err
}

// skip passes over a frame that means nothing (RFC 9114 §9), at the price of one.
func (s *h3Stream) skip(length uint64) error {
	if !s.tire() {
		return s.fail(h3Tired)
	}
	if length > h3SkippedBytes-s.skipped {
		return s.fail(h3Stuffed)
	}
	s.skipped += length
	_, err := s.from.Discard(int(length))
	return s.within(err)
}

// header reads what must come first: the header of a request, into fields.
func (s *h3Stream) header(fields *webFields) (webRequest, error) {
	kind, length, err := s.frame()
	switch {
	case err == io.EOF:
		return webRequest{}, s.fail(h3Incomplete)
	case err != nil:
		return webRequest{}, err
	case kind != h3Headers:
		return webRequest{}, s.fail(h3OutOfPlace)
	}
	if err := s.section(length, fields); err != nil {
		return webRequest{}, err
	}
	r := fields.request()
	switch r.kind {
	case webTooLong:
		return r, errH3TooLong
	case webMalformed, webTrailer:
		return r, s.fail(h3Malformed)
	}
	if !fields.namesHost() {
		return r, s.fail(h3Malformed)
	}
	s.length = int64(r.length)
	return r, nil
}

// section reads and decodes a field section of length bytes.
func (s *h3Stream) section(length uint64, fields *webFields) error {
	if length > maxHeaderBytes {
		return errH3TooLong
	}
	block, err := io.ReadAll(io.LimitReader(s.from, int64(length))) // grows with what has arrived
	if err != nil {
		return err
	}
	if uint64(len(block)) < length {
		return s.fail(h3CutOff)
	}
	fields.reset()
	next := qpack.NewDecoder().Decode(block)
	for !fields.long {
		f, err := next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return s.fail(h3Unpacked)
		}
		fields.add(hpack.HeaderField{Name: f.Name, Value: f.Value})
	}
	return nil
}

// Read implements io.Reader for the body, which ends with the stream.
func (s *h3Stream) Read(p []byte) (int, error) {
	if s.fault != nil {
		return 0, s.fault
	}
	for s.left == 0 {
		if err := s.nextData(); err != nil {
			return 0, err
		}
	}
	n, err := s.from.Read(p[:min(uint64(len(p)), s.left)])
	s.left -= uint64(n)
	if n > 0 {
		return n, nil // an error that came with it comes again
	}
	return 0, s.within(err)
}

// nextData goes on to the next DATA frame. Those that carry next to nothing have their
// price, as over HTTP/2.
func (s *h3Stream) nextData() error {
	kind, length, err := s.frame()
	switch {
	case err == io.EOF && s.length > 0:
		return s.fail(h3Malformed) // RFC 9114 §4.1.2
	case err != nil:
		return err
	case s.trailed:
		return s.fail(h3OutOfPlace)
	case kind == h3Headers:
		return s.trailer(length)
	case length < h2TinyBytes && !s.tire():
		return s.fail(h3Tired)
	case s.length >= 0 && length > uint64(s.length):
		return s.fail(h3Malformed)
	}
	if s.length >= 0 {
		s.length -= int64(length)
	}
	s.left = length
	return nil
}

// trailer reads fields behind the body, which mean nothing here.
func (s *h3Stream) trailer(length uint64) error {
	s.trailed = true
	var fields webFields
	err := s.section(length, &fields)
	switch {
	case err == errH3TooLong, fields.long:
		return s.fail(h3Stuffed)
	case err == nil && (fields.bad || fields.pseudo != 0):
		return s.fail(h3Malformed)
	}
	return err
}
