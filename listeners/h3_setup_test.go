package listeners

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/qpack"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"
)

// h3FrameOf is a frame of HTTP/3.
func h3FrameOf(kind uint64, payload []byte) []byte {
	return append(quicvarint.Append(quicvarint.Append(nil, kind), uint64(len(payload))), payload...)
}

// h3Lines4 are the lines that every request has.
func h3Lines4(method, path string) []string {
	return []string{":method", method, ":scheme", "https", ":authority", "localhost", ":path", path}
}

// h3Post is a request as clients send it, with more lines in its header.
func h3Post(message []byte, more ...string) []byte {
	header := append(h3Lines4("POST", dohPath), "accept", dnsMessage[0], "content-type", dnsMessage[0])
	return append(h3FrameOf(h3Headers, h3Encode(append(header, more...)...)), h3FrameOf(h3Data, message)...)
}

func h3Get(target string, more ...string) []byte {
	return h3FrameOf(h3Headers, h3Encode(append(h3Lines4("GET", target), more...)...))
}

// viaHTTP3 is an h3Conn that leaves every request to http3.
type viaHTTP3 struct {
	*h3Conn
	*http3.RawServerConn
}

// leftToHTTP3 opens a second control stream beside ours. Nobody reads either.
func leftToHTTP3(c *h3Conn) quicConn {
	server := &http3.Server{Handler: c.handler, MaxHeaderBytes: maxHeaderBytes}
	raw, err := server.NewRawServerConn(c.conn)
	if err != nil {
		panic(err)
	}
	return viaHTTP3{c, raw}
}

func (c viaHTTP3) stream(s *quic.Stream, _ time.Time) func() {
	return func() { c.HandleRequestStream(s) }
}

// h3Server serves r over HTTP/3; change, if there is one, may replace what
// serves a connection.
func h3Server(t testing.TB, r Resolver, change func(*h3Conn) quicConn) *running {
	t.Helper()
	cfg := webConfig()
	cfg.DoH = []string{"127.0.0.1:0"}
	set, err := Bind(cfg, r)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range set.sites[0].entries {
		if l, ok := e.listener.(h3Listener); ok && change != nil {
			open := l.conn
			l.conn = func(c *quic.Conn, refused *refusals) (quicConn, error) {
				own, err := open(c, refused)
				if err != nil {
					return nil, err
				}
				return change(own.(*h3Conn)), nil
			}
		}
	}
	return serveSet(t, set)
}

// dialH3 opens a connection with a control stream and nothing else that
// http3's own client would add.
func dialH3(t testing.TB, s *running) *quic.Conn {
	t.Helper()
	c := dialQUIC(t, s.addrOf(t, "doh3"), clientTLS("h3"), nil)
	control, err := c.OpenUniStream()
	if err == nil {
		_, err = control.Write(append([]byte{0}, h3FrameOf(4, nil)...)) // SETTINGS
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// askH3 sends stream on a connection of its own and tells what comes of it: the
// response, with its lines sorted, or the error code and what it ended.
func askH3(t testing.TB, s *running, stream []byte) string {
	t.Helper()
	c := dialH3(t, s)
	defer c.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
	str, err := c.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	str.SetDeadline(time.Now().Add(patience))
	_, _ = str.Write(stream) // what the server thinks of it is seen when reading
	_ = str.Close()
	got, err := io.ReadAll(str)
	if reset, ok := errors.AsType[*quic.StreamError](err); ok {
		return fmt.Sprint("stream reset with ", http3.ErrCode(reset.ErrorCode))
	}
	if closed, ok := errors.AsType[*quic.ApplicationError](err); ok {
		return fmt.Sprint("connection closed with ", http3.ErrCode(closed.ErrorCode))
	}
	if err != nil {
		t.Fatal(err)
	}
	return readH3(t, got)
}

// readH3 tells what a response says but for its date, whose form it checks.
func readH3(t testing.TB, response []byte) string {
	t.Helper()
	var lines []string
	var body []byte
	for len(response) > 0 {
		kind := response[0]
		payload, rest, ok := h3Frame(response, kind)
		if !ok {
			t.Fatalf("cut off frame: %x", response)
		}
		response = rest
		if kind == h3Data {
			body = append(body, payload...)
			continue
		}
		next := qpack.NewDecoder().Decode(payload)
		for field, err := next(); err != io.EOF; field, err = next() {
			if err != nil {
				t.Fatal(err)
			}
			if field.Name == "date" {
				_, err := time.Parse(time.RFC1123, field.Value)
				field.Value = fmt.Sprint(err == nil)
			}
			lines = append(lines, field.Name+": "+field.Value)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n\n" + string(bytes.ToValidUTF8(body, []byte("?")))
}
