package listeners

import (
	"bytes"
	"encoding/base64"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"domainpark/query"
)

// h3Resolver answers by the second byte of the ID, as TestDoHErrors does.
var h3Resolver = resolverFunc(func(dst []byte, q *query.Query) []byte {
	switch {
	case len(q.Message) < 12:
		q.Verdict = query.Silent
	case q.Message[1] == 1:
		q.Verdict = query.Dropped
	case q.Message[1] == 2:
		panic("a query that can't be")
	case q.Message[1] == 3:
		dst = cacheable(dst, q)
		q.MaxAge = 0
	default:
		return cacheable(dst, q)
	}
	return dst
})

// withID is plainQuery with another ID.
func withID(id byte) []byte {
	m := bytes.Clone(plainQuery)
	m[1] = id
	return m
}

// h3Case is a request stream, whether it has the usual form, and what becomes of it:
// the beginning of the response's status, or the error. What http3 and dohHandler make of
// it is the same, but where theirs says something else.
type h3Case struct {
	name   string
	stream []byte
	usual  bool
	want   string
	theirs string
}

// h3Cases are what clients send, and what hostile ones may.
func h3Cases() []h3Case {
	text := base64.RawURLEncoding.EncodeToString(plainQuery)
	post := func(lines ...string) []byte {
		return append(h3FrameOf(h3Headers, h3Encode(lines...)), h3FrameOf(h3Data, plainQuery)...)
	}
	dns := []string{"content-type", dnsMessage[0]}
	lines4 := h3Lines4("POST", dohPath)
	with := func(more ...string) []byte { return h3Post(plainQuery, more...) }
	get := h3Get(dohPath + "?dns=" + text)
	grease := h3FrameOf(0x21, []byte("grease"))
	return []h3Case{
		{"post", with(), true, "200", ""},
		{"post with its length", with("content-length", "29"), true, "200", ""},
		{"post of a browser", with("user-agent", "Mozilla/5.0 (X11; Linux x86_64)", "priority", "u=1, i", "sec-fetch-mode", "no-cors", "origin", "https://example.org"), true, "200", ""},
		{"lines in another order", post("content-type", dnsMessage[0], "x", "", ":method", "POST"), false, "stream reset with H3_MESSAGE_ERROR", ""},
		{"get", get, true, "200", ""},
		{"get with lines", h3Get(dohPath+"?dns="+text, "accept", dnsMessage[0], "user-agent", "x", "cookie", "a=b", "cookie", "c=d"), true, "200", ""},
		{"get of another path", h3Get("/"), false, "404", ""},
		{"get of a longer path", h3Get(dohPath + "s?dns=" + text), false, "404", ""},
		{"get with escapes", h3Get("/dns%2Dquery?dns=" + text), false, "200", ""},
		{"get with two parameters", h3Get(dohPath + "?x=y&dns=" + text), false, "200", ""},
		{"get with a parameter behind", h3Get(dohPath + "?dns=" + text + "&x=y"), false, "200", ""},
		{"get with padding", h3Get(dohPath + "?dns=" + text + "="), false, "400", ""},
		{"get with a line end", h3Get(dohPath + "?dns=" + text[:8] + "\n" + text[8:]), false, "stream reset with H3_MESSAGE_ERROR", ""},
		{"get of nothing", h3Get(dohPath), false, "400", ""},
		{"get of an empty message", h3Get(dohPath + "?dns="), false, "400", ""},
		{"get of a short message", h3Get(dohPath + "?dns=AAAA"), true, "400", ""},
		{"get of a message above the inbox", h3Get(dohPath + "?dns=" + strings.Repeat("AAAA", 200)), false, "200", ""},
		{"get with a body", append(bytes.Clone(get), h3FrameOf(h3Data, plainQuery)...), false, "200", ""},
		{"post to a target with a parameter", post(append(h3Lines4("POST", dohPath+"?dns="+text), dns...)...), false, "200", ""},
		{"post of two lengths", with("content-length", "29", "content-length", "29"), false, "200", ""},
		{"post of another length", with("content-length", "28"), false, "stream reset with H3_MESSAGE_ERROR", ""},
		{"post of a negative length", with("content-length", "-1"), false, "stream reset with H3_MESSAGE_ERROR", ""},
		{"post of another type", post(append(lines4, "content-type", "text/plain")...), false, "415", ""},
		{"post of a type with a parameter", post(append(lines4, "content-type", dnsMessage[0]+"; v=1")...), false, "200", ""},
		{"post without a type", post(lines4...), false, "415", ""},
		{"post of two types", with("content-type", "text/plain"), false, "200", ""},
		{"post with a coding", with("content-encoding", "gzip"), false, "415", ""},
		{"post without a body", h3FrameOf(h3Headers, h3Encode(append(lines4, dns...)...)), false, "400", ""},
		{"post of a short message", h3Post([]byte("short")), true, "400", ""},
		{"post in two frames", append(h3Post(plainQuery[:9]), h3FrameOf(h3Data, plainQuery[9:])...), false, "200", ""},
		{"empty data", append(with(), h3FrameOf(h3Data, nil)...), false, "200", ""},
		{"much empty data", append(with(), bytes.Repeat([]byte{0, 0}, 20000)...), false, "connection closed with H3_EXCESSIVE_LOAD", "200"},
		{"grease before", append(bytes.Clone(grease), with()...), false, "200", ""},
		{"grease behind", append(with(), grease...), false, "200", ""},
		{"trailers", append(with(), h3FrameOf(h3Headers, h3Encode("x-trailer", "y"))...), false, "200", ""},
		{"dropped", h3Post(withID(1)), true, "429", ""},
		{"dropped get", h3Get(dohPath + "?dns=" + base64.RawURLEncoding.EncodeToString(withID(1))), true, "429", ""},
		{"panic", h3Post(withID(2)), true, "500", ""},
		{"not to be kept", h3Post(withID(3)), true, "200", ""},
		{"head", h3FrameOf(h3Headers, h3Encode(h3Lines4("HEAD", dohPath+"?dns="+text)...)), false, "200", ""},
		{"put", post(append(h3Lines4("PUT", dohPath), dns...)...), false, "405", ""},
		{"options", h3FrameOf(h3Headers, h3Encode(h3Lines4("OPTIONS", dohPath)...)), false, "204", ""},
		{"connect", h3FrameOf(h3Headers, h3Encode(h3Lines4("CONNECT", dohPath)...)), false, "stream reset with H3_MESSAGE_ERROR", ""},
		{"plain scheme", post(append([]string{":method", "POST", ":scheme", "http", ":authority", "localhost", ":path", dohPath}, dns...)...), false, "200", ""},
		{"scheme in upper case", post(append([]string{":method", "POST", ":scheme", "HTTPS", ":authority", "localhost", ":path", dohPath}, dns...)...), false, "200", ""},
		{"without authority", post(append([]string{":method", "POST", ":scheme", "https", ":path", dohPath}, dns...)...), false, "stream reset with H3_MESSAGE_ERROR", ""},
		{"host instead of authority", post(append([]string{":method", "POST", ":scheme", "https", ":path", dohPath, "host", "localhost"}, dns...)...), false, "200", ""},
		{"user in authority", post(append([]string{":method", "POST", ":scheme", "https", ":authority", "a@localhost", ":path", dohPath}, dns...)...), false, "stream reset with H3_MESSAGE_ERROR", ""},
		{"empty authority", post(append([]string{":method", "POST", ":scheme", "https", ":authority", "", ":path", dohPath}, dns...)...), false, "stream reset with H3_MESSAGE_ERROR", ""},
		{"two paths", post(append(append(lines4, ":path", dohPath), dns...)...), false, "stream reset with H3_MESSAGE_ERROR", ""},
		{"unknown pseudo-header", post(append(append(lines4, ":secret", "x"), dns...)...), false, "stream reset with H3_MESSAGE_ERROR", ""},
		{"status in a request", post(append(append(lines4, ":status", "200"), dns...)...), false, "stream reset with H3_MESSAGE_ERROR", ""},
		{"pseudo-header behind", post(append(append(h3Lines4("POST", dohPath)[:6], dns...), ":path", dohPath)...), false, "stream reset with H3_MESSAGE_ERROR", ""},
		{"name in upper case", with("X-Name", "x"), false, "stream reset with H3_MESSAGE_ERROR", ""},
		{"name with a space", with("x name", "x"), false, "stream reset with H3_MESSAGE_ERROR", ""},
		{"odd name", with("x!#$%&'*+.^_`|~", "x"), false, "200", ""},
		{"empty name", with("", "x"), false, "stream reset with H3_MESSAGE_ERROR", ""},
		{"line end in a value", with("x", "a\r\nb"), false, "stream reset with H3_MESSAGE_ERROR", ""},
		{"tab in a value", with("x", "a\tb"), true, "200", ""},
		{"bytes above ASCII in a value", with("x", "\xff\xc3"), true, "200", ""},
		{"delete in a value", with("x", "\x7f"), false, "stream reset with H3_MESSAGE_ERROR", ""},
		{"connection", with("connection", "close"), false, "stream reset with H3_MESSAGE_ERROR", ""},
		{"te", with("te", "gzip"), false, "stream reset with H3_MESSAGE_ERROR", ""},
		{"transfer-encoding", with("transfer-encoding", "chunked"), false, "stream reset with H3_MESSAGE_ERROR", ""},
		{"many lines", with(strings.Split(strings.Repeat("a,b,", 60)+"c,d", ",")...), false, "200", ""},
		{"lines above the limit", with("x", strings.Repeat("a", maxHeaderBytes)), false, "431", "431"},
		{"QPACK bomb", h3FrameOf(h3Headers, append([]byte{0, 0}, bytes.Repeat([]byte{0xff, 0x16}, 500)...)), false, "431", "431"}, // 85, the longest line
		{"dynamic table", h3FrameOf(h3Headers, []byte{0, 0, 0x80}), false, "connection closed with QPACK_DECOMPRESSION_FAILED", "stream reset with QPACK_DECOMPRESSION_FAILED"},
		{"lines not inserted yet", h3FrameOf(h3Headers, []byte{2, 0, 0xd1}), false, "connection closed with QPACK_DECOMPRESSION_FAILED", "stream reset with QPACK_DECOMPRESSION_FAILED"},
		{"index above the table", h3FrameOf(h3Headers, []byte{0, 0, 0xff, 0x7f}), false, "connection closed with QPACK_DECOMPRESSION_FAILED", "stream reset with QPACK_DECOMPRESSION_FAILED"},
		{"endless index", h3FrameOf(h3Headers, append([]byte{0, 0}, bytes.Repeat([]byte{0xff}, 40)...)), false, "connection closed with QPACK_DECOMPRESSION_FAILED", "stream reset with QPACK_DECOMPRESSION_FAILED"},
		{"Huffman padding", h3FrameOf(h3Headers, []byte{0, 0, 0x51, 0x81, 0}), false, "connection closed with QPACK_DECOMPRESSION_FAILED", "stream reset with QPACK_DECOMPRESSION_FAILED"},
		{"cut off line", h3FrameOf(h3Headers, []byte{0, 0, 0x51, 9, '/'}), false, "connection closed with QPACK_DECOMPRESSION_FAILED", "stream reset with QPACK_DECOMPRESSION_FAILED"},
		{"no lines", h3FrameOf(h3Headers, []byte{0, 0}), false, "stream reset with H3_MESSAGE_ERROR", ""},
		{"no section", h3FrameOf(h3Headers, nil), false, "connection closed with QPACK_DECOMPRESSION_FAILED", "stream reset with QPACK_DECOMPRESSION_FAILED"},
		{"cut off header", with()[:20], false, "connection closed with H3_FRAME_ERROR", "stream reset with H3_INCOMPLETE_REQUEST"},
		{"cut off body", with()[:len(with())-1], false, "connection closed with H3_FRAME_ERROR", "200"},
		{"nothing", nil, false, "stream reset with H3_INCOMPLETE_REQUEST", ""},
		{"data first", h3FrameOf(h3Data, plainQuery), false, "connection closed with H3_FRAME_UNEXPECTED", ""},
		{"settings on a request stream", h3FrameOf(4, nil), false, "connection closed with H3_FRAME_UNEXPECTED", ""},
		{"goaway on a request stream", h3FrameOf(7, []byte{0}), false, "connection closed with H3_FRAME_UNEXPECTED", ""},
		{"frame of HTTP/2", append(h3FrameOf(6, []byte("12345678")), with()...), false, "connection closed with H3_FRAME_UNEXPECTED", ""},
		{"a push ID", append(h3FrameOf(h3MaxPushID, []byte{0}), with()...), false, "connection closed with H3_FRAME_UNEXPECTED", "200"},
		{"kind in two bytes", append([]byte{0x40, 1}, with()[1:]...), false, "200", ""},
		{"cancelled push", append(with(), h3FrameOf(h3CancelPush, []byte{0})...), false, "connection closed with H3_FRAME_UNEXPECTED", "200"},
		{"promise", append(with(), h3FrameOf(h3PushPromise, []byte{0})...), false, "connection closed with H3_FRAME_UNEXPECTED", "200"},
		{"priority of a push", append(h3FrameOf(h3PriorityOfPush, []byte{0}), with()...), false, "connection closed with H3_FRAME_UNEXPECTED", ""},
		{"cut off type", append(with(), 0x40), false, "connection closed with H3_FRAME_ERROR", "200"},
		{"cut off grease", append(with(), grease[:4]...), false, "connection closed with H3_FRAME_ERROR", "200"},
		{"shorter than its length", with("content-length", "30"), false, "stream reset with H3_MESSAGE_ERROR", "400"},
		{"a length and no body", h3FrameOf(h3Headers, h3Encode(append(append(lines4, dns...), "content-length", "29")...)), false, "stream reset with H3_MESSAGE_ERROR", "400"},
		{"a length above any message", with("content-length", "65536"), false, "413", ""},
		{"a body above any message", h3Post(make([]byte, maxMessageBytes+1)), false, "413", ""},
		{"the longest body", h3Post(append(bytes.Clone(plainQuery), make([]byte, maxMessageBytes-len(plainQuery))...)), false, "200", ""},
		{"much grease", append(with(), h3FrameOf(0x21, make([]byte, h3SkippedBytes+1))...), false, "stream reset with H3_EXCESSIVE_LOAD", "200"},
		{"grease without end", append(with(), bytes.Repeat(h3FrameOf(0x21, nil), h3Patience+1)...), false, "connection closed with H3_EXCESSIVE_LOAD", "200"},
		{"grease without end before", append(bytes.Repeat(h3FrameOf(0x21, nil), h3Patience+1), with()...), false, "connection closed with H3_EXCESSIVE_LOAD", "200"},
		{"empty frames that may be", append(with(), bytes.Repeat(h3FrameOf(h3Data, nil), h3Patience/2)...), false, "200", ""},
		{"pseudo-header in trailers", append(with(), h3FrameOf(h3Headers, h3Encode(":path", "/"))...), false, "stream reset with H3_MESSAGE_ERROR", "400"},
		{"trailers of another version", append(with(), h3FrameOf(h3Headers, h3Encode("connection", "close"))...), false, "stream reset with H3_MESSAGE_ERROR", "400"},
		{"trailers that cannot be decoded", append(with(), h3FrameOf(h3Headers, []byte{0, 0, 0x80})...), false, "connection closed with QPACK_DECOMPRESSION_FAILED", "400"},
		{"trailers above the limit", append(with(), h3FrameOf(h3Headers, h3Encode("x", strings.Repeat("a", maxHeaderBytes)))...), false, "stream reset with H3_EXCESSIVE_LOAD", "400"},
		{"grease behind trailers", append(append(with(), h3FrameOf(h3Headers, h3Encode("x-trailer", "y"))...), grease...), false, "200", ""},
		{"data behind trailers", append(append(with(), h3FrameOf(h3Headers, h3Encode("x-trailer", "y"))...), h3FrameOf(h3Data, nil)...), false, "connection closed with H3_FRAME_UNEXPECTED", "400"},
		{"trailers twice", append(append(with(), h3FrameOf(h3Headers, h3Encode("x", "y"))...), h3FrameOf(h3Headers, h3Encode("x", "y"))...), false, "connection closed with H3_FRAME_UNEXPECTED", "400"},
		{"expectation", with("expect", "100-continue"), false, "100", "200"},
		{"two hosts", post(append([]string{":method", "POST", ":scheme", "https", ":path", dohPath, "host", "localhost", "host", "localhost"}, dns...)...), false, "stream reset with H3_MESSAGE_ERROR", ""},
		{"host beside authority", with("host", "localhost"), false, "200", ""},
		{"another host", with("host", "example.org"), false, "stream reset with H3_MESSAGE_ERROR", ""},
		{"user in host", post(append([]string{":method", "POST", ":scheme", "https", ":path", dohPath, "host", "a@localhost"}, dns...)...), false, "stream reset with H3_MESSAGE_ERROR", ""},
		{"another scheme", post(append([]string{":method", "POST", ":scheme", "dns", ":authority", "localhost", ":path", dohPath}, dns...)...), false, "stream reset with H3_MESSAGE_ERROR", "200"},
		{"a connection to this host", h3FrameOf(h3Headers, h3Encode(":method", "CONNECT", ":authority", "localhost:443")), false, "404", ""},
		{"extended connection", h3FrameOf(h3Headers, h3Encode(append(h3Lines4("CONNECT", dohPath), ":protocol", "websocket")...)), false, "stream reset with H3_MESSAGE_ERROR", "405"},
		{"options of everything", h3FrameOf(h3Headers, h3Encode(h3Lines4("OPTIONS", "*")...)), false, "404", ""},
		{"head of another path", h3FrameOf(h3Headers, h3Encode(h3Lines4("HEAD", "/")...)), false, "404", ""},
	}
}

// A request is taken off its stream although the glance at it is over.
func TestH3TakesARequestWhenTheGlanceIsOver(t *testing.T) {
	late := func(c *h3Conn) quicConn { return lateH3{c} }
	s := h3Server(t, cacheable, late)
	if got := askH3(t, s, h3Post(plainQuery)); !strings.Contains(got, ":status: 200") {
		t.Errorf("got\n%s", got)
	}
}

// lateH3 is an h3Conn that loses the CPU between Peek and Read.
type lateH3 struct{ *h3Conn }

func (c lateH3) stream(s *quic.Stream, now time.Time) func() {
	x := borrowExchange()
	n, err := s.Peek(x.message[:packetBytes])
	message := plainMessage(x.message[:n], x)
	if err != io.EOF || message == nil {
		panic("the request has not the usual form")
	}
	_ = s.SetReadDeadline(now.Add(-time.Second))
	return c.answer(s, x, message, now)
}

// A request that comes in pieces is http3's, and the connection goes on.
func TestH3RequestInPieces(t *testing.T) {
	c := dialH3(t, h3Server(t, cacheable, nil))
	request := h3Post(plainQuery)
	for _, cut := range []int{1, 2, 30, len(request) - 1, len(request)} {
		s := openStream(t, c, request[:cut])
		whole := openStream(t, c, request) // is not held up for long
		whole.Close()
		if response, err := io.ReadAll(whole); err != nil || !strings.Contains(readH3(t, response), ":status: 200") {
			t.Fatalf("beside a piece: %q, %v", response, err)
		}
		if _, err := s.Write(request[cut:]); err != nil {
			t.Fatal(err)
		}
		s.Close()
		if response, err := io.ReadAll(s); err != nil || !strings.Contains(readH3(t, response), ":status: 200") {
			t.Fatalf("cut after %d bytes: %q, %v", cut, response, err)
		}
	}
}

// An answer fits behind the longest head there is.
func TestH3HeadFitsItsRoom(t *testing.T) {
	now := time.Now()
	for _, size := range []int{1, 63, 64, 16383, 16384, maxMessageBytes} {
		for _, maxAge := range []uint32{0, 1, 3600, math.MaxUint32} {
			head := appendHead(nil, h3Answered, size, maxAge, now)
			if len(head) > h3HeadBytes {
				t.Errorf("%d bytes for %d and %d, room for %d", len(head), size, maxAge, h3HeadBytes)
			}
			got := readH3(t, append(head, make([]byte, size)...))
			for _, want := range []string{"content-length: " + strconv.Itoa(size), "cache-control: " + cacheControl(maxAge)[0], "date: true"} {
				if !strings.Contains(got, want+"\n") {
					t.Errorf("no %q in\n%s", want, got)
				}
			}
		}
	}
}

func TestH3DateIsThatOfTheSecond(t *testing.T) {
	for _, now := range []time.Time{time.Unix(1e9, 0), time.Unix(1e9, 999), time.Unix(1e9+1, 0), time.Unix(1e9, 0)} {
		if line := string(dateLine(now)); !strings.HasSuffix(line, now.UTC().Format(http.TimeFormat)) {
			t.Errorf("%v: %q", now, line)
		}
	}
}

// RFC 9204 appendix A, at both ends of each form that an index has.
func TestH3StaticTable(t *testing.T) {
	if len(h3Static) != 99 {
		t.Fatalf("%d lines, want 99", len(h3Static))
	}
	for i, want := range map[int]string{0: ":authority ", 62: "x-xss-protection 1; mode=block", 63: ":status 100", 98: "x-frame-options sameorigin"} {
		if got := string(h3Static[i].name) + " " + string(h3Static[i].value); got != want {
			t.Errorf("%d: %q, want %q", i, got, want)
		}
	}
}

func BenchmarkH3Request(b *testing.B) {
	x := &exchange{out: make([]byte, 0, keptBytes)}
	stream, now := h3Post(plainQuery, "content-length", "29"), time.Now()
	b.ReportAllocs()
	for b.Loop() {
		message := plainMessage(stream, x)
		x.out = appendHead(x.out[:0], h3Answered, len(message), 3600, now)
	}
}
