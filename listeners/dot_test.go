package listeners

import (
	"bytes"
	"crypto/tls"
	"io"
	"strings"
	"testing"
)

func TestDoTNegotiation(t *testing.T) {
	s := start(t, listenOn("dot", "127.0.0.1:0"), mirror)
	for _, c := range []struct {
		name     string
		change   func(*tls.Config)
		protocol string // agreed on
		err      string // of the handshake
	}{
		{"dot", func(c *tls.Config) { c.NextProtos = []string{"dot"} }, "dot", ""},
		{"dot among others", func(c *tls.Config) { c.NextProtos = []string{"h2", "dot"} }, "dot", ""},
		{"no ALPN (RFC 7858 knows none)", func(*tls.Config) {}, "", ""},
		{"only others (RFC 7301 §3.2)", func(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} }, "", "no application protocol"},
		{"TLS 1.3", func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 }, "", ""},
		{"TLS 1.2", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, "", ""},
		{"TLS 1.1 (RFC 8996)", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, "", "protocol version"},
		{"no server name (RFC 9539)", func(c *tls.Config) { c.ServerName, c.InsecureSkipVerify = "", true }, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := clientTLS()
			c.change(config)
			conn := tls.Client(dial(t, "tcp", s.addrOf(t, "dot")), config)
			defer conn.Close()
			err := conn.Handshake()
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("handshake: %v, want %q", err, c.err)
				}
				return
			}
			if err != nil || conn.ConnectionState().NegotiatedProtocol != c.protocol {
				t.Fatalf("handshake: %v, ALPN %q; want %q", err, conn.ConnectionState().NegotiatedProtocol, c.protocol)
			}
			write(t, conn, framed(testMessage(1, 40)))
			expectAnswer(t, conn, testMessage(1, 40))
		})
	}
}

func TestDoTResumesASession(t *testing.T) {
	s := start(t, listenOn("dot", "127.0.0.1:0"), mirror)
	config := clientTLS("dot")
	config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	for _, resumed := range []bool{false, true} {
		c := tls.Client(dial(t, "tcp", s.addrOf(t, "dot")), config)
		write(t, c, framed(testMessage(1, 40)))
		expectAnswer(t, c, testMessage(1, 40)) // and with it the ticket
		if got := c.ConnectionState().DidResume; got != resumed {
			t.Errorf("resumed: %v, want %v", got, resumed)
		}
		c.Close()
	}
}

// A client that does not speak TLS gets at most a TLS alert, and the end.
func TestDoTClosesWhoSpeaksNoTLS(t *testing.T) {
	s := start(t, listenOn("dot", "127.0.0.1:0"), mirror)
	for name, said := range map[string][]byte{
		"plain DNS":  framed(testMessage(1, 40)),
		"HTTP":       []byte("GET /dns-query HTTP/1.1\r\nHost: x\r\n\r\n"),
		"garbage":    bytes.Repeat([]byte{0xa5}, 4096),
		"TLS record": {22, 3, 1, 0, 5, 1, 0, 0, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, "tcp", s.addrOf(t, "dot"))
			write(t, c, said)
			const alertRecord, alertBytes = 21, 7 // RFC 8446 §5.1, §6
			got, err := io.ReadAll(c)
			if err != nil && isTimeout(err) || len(got) > alertBytes || len(got) > 0 && got[0] != alertRecord {
				t.Errorf("got %x, %v; want an alert or nothing, and the end", got, err)
			}
		})
	}
}

// The end is told by close_notify, so that nobody can feign it (RFC 8446 §6.1).
func TestDoTSaysWhenItCloses(t *testing.T) {
	s := start(t, listenOn("dot", "127.0.0.1:0"), mirror)
	c := s.dialStream(t, "dot")
	write(t, c, framed(testMessage(1, 40)))
	expectAnswer(t, c, testMessage(1, 40))
	go s.cancel()
	if n, err := c.Read(make([]byte, 1)); err != io.EOF { // a bare FIN would be io.ErrUnexpectedEOF
		t.Errorf("%d bytes, %v; want %v", n, err, io.EOF)
	}
	c.Close()
}
