package listeners

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"time"
)

// helloOf is the first record of a client.
func helloOf(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	go func() {
		_ = tls.Client(ours, config).Handshake()
		ours.Close()
	}()
	defer theirs.Close()
	hello := make([]byte, busyBytes)
	n, err := theirs.Read(hello)
	if err != nil {
		t.Fatal(err)
	}
	return hello[:n]
}

// ticketHello is the first record of a client that comes back.
func ticketHello(t *testing.T) []byte {
	t.Helper()
	v := newVisitor()
	if _, err := v.visit(t, dotWith(t, newLedger(), 1)); err != nil {
		t.Fatal(err)
	}
	return helloOf(t, v.config)
}

func oldHello(t testing.TB) []byte {
	config := clientTLS()
	config.MaxVersion = tls.VersionTLS12
	return helloOf(t, config)
}

func TestHellosAreReadBeforeTLSDoes(t *testing.T) {
	hello := helloOf(t, clientTLS())
	inTwo := append([]byte{22, 3, 1, 0, 8}, hello[5:13]...)
	for _, c := range []struct {
		name        string
		record      []byte
		resumes, ok bool
	}{
		{"TLS 1.3", hello, false, true},
		{"TLS 1.3 with a ticket", ticketHello(t), true, true},
		{"TLS 1.2", oldHello(t), false, true},
		{"without extensions", append([]byte{22, 3, 1, 0, 45, 1, 0, 0, 41, 3, 3}, append(make([]byte, 33), 0, 2, 0x13, 1, 1, 0)...), false, true},
		{"goes on in the next record", inTwo, false, false},
		{"an alert", tooMany, false, false},
		{"nothing", nil, false, false},
	} {
		if resumes, ok := readHello(c.record); resumes != c.resumes || ok != c.ok {
			t.Errorf("%s: resumes %v, ok %v", c.name, resumes, ok)
		}
	}
	for n := range hello {
		if _, ok := readHello(hello[:n]); ok {
			t.Errorf("%d of %d bytes are taken for a hello", n, len(hello))
		}
	}
}

// given is a connection that reads what it holds, and then its end.
type given struct {
	net.Conn
	*bytes.Reader
}

func (g given) Read(p []byte) (int, error)       { return g.Reader.Read(p) }
func (g given) Write(p []byte) (int, error)      { return len(p), nil }
func (g given) Close() error                     { return nil }
func (g given) SetWriteDeadline(time.Time) error { return nil }

// FuzzHello compares what is read of a hello with what crypto/tls reads.
func FuzzHello(f *testing.F) {
	f.Add(helloOf(f, clientTLS()))
	f.Add(oldHello(f))
	f.Add([]byte("GET / HTTP/1.1\r\n"))
	errSeen := errors.New("seen")
	f.Fuzz(func(t *testing.T, data []byte) {
		n := recordIn(data)
		resumes, ok := readHello(data[:n])
		if !ok {
			return
		}
		config := &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if offersKey(hello) != resumes {
				t.Errorf("crypto/tls: offers a key: %v; here: %v", !resumes, resumes)
			}
			return nil, errSeen
		}}
		_ = tls.Server(given{Reader: bytes.NewReader(data)}, config).Handshake()
	})
}
