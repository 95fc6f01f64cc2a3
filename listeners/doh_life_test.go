package listeners

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"domainpark/query"
)

// gated is a resolver that lets a test look while a query is being answered.
type gated struct{ entered, leave chan struct{} }

func newGated() gated { return gated{make(chan struct{}, 1), make(chan struct{})} }

func (g gated) Resolve(dst []byte, q *query.Query) []byte {
	g.entered <- struct{}{}
	<-g.leave
	return cacheable(dst, q)
}

// TestWebDrainFinishesQueries stops the server while a query is being answered.
func TestWebDrainFinishesQueries(t *testing.T) {
	for _, version := range webVersions {
		t.Run(version, func(t *testing.T) {
			g := newGated()
			cfg := webConfig()
			cfg.DoH = []string{"127.0.0.1:0"}
			s := start(t, cfg, g)
			addr := netip.MustParseAddrPort(s.addrOf(t, "doh"))
			req := request(t, "GET", s.getURL(t, plainQuery), nil)
			client := webClient(t, version)
			type result struct {
				res *http.Response
				err error
			}
			got := make(chan result, 1)
			go func() {
				res, err := client.Do(req)
				got <- result{res, err}
			}()
			<-g.entered
			s.cancel()
			close(g.leave)
			r := <-got
			if r.err != nil {
				t.Fatal(r.err)
			}
			defer r.res.Body.Close()
			if body, err := io.ReadAll(r.res.Body); err != nil || !bytes.Equal(body, answerTo(plainQuery)) {
				t.Errorf("got %x, %v", body, err)
			}
			s.stop(t)
			tcp, udp, err := openBoth(&cfg, addr)
			if err != nil {
				t.Fatalf("the port is not free after the server's end: %v", err)
			}
			tcp.Close()
			udp.Close()
		})
	}
}

func TestDoQDrainFinishesQueriesAndSaysGoodbye(t *testing.T) {
	g := newGated()
	s := doqServer(t, g)
	c := dialDoQ(t, s)
	stream := openStream(t, c, framed(plainQuery))
	stream.Close()
	<-g.entered
	s.cancel()
	close(g.leave)
	if got, err := io.ReadAll(stream); err != nil || !bytes.Equal(got, framed(answerTo(plainQuery))) {
		t.Errorf("got %x, %v", got, err)
	}
	s.stop(t)
	_, err := c.AcceptStream(t.Context())
	if closed, ok := errors.AsType[*quic.ApplicationError](err); !ok || closed.ErrorCode != doqNoError {
		t.Errorf("got %v, want DOQ_NO_ERROR", err)
	}
}

// A query that never ends keeps nobody longer than Timeouts.Shutdown. The test
// would hang otherwise.
func TestQUICDrainEndsWithoutTheClient(t *testing.T) {
	cfg := webConfig()
	cfg.DoQ, cfg.DoH = []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}
	cfg.Timeouts.Message = patience
	cfg.Timeouts.Shutdown = cfg.Timeouts.Message / 100
	s := start(t, cfg, cacheable)
	stalled := openStream(t, dialDoQ(t, s), []byte{0})
	openStream(t, dialQUIC(t, s.addrOf(t, "doh3"), clientTLS(http3.NextProtoH3), nil), []byte{1})
	slow := dialTLS(t, s.addrOf(t, "doh"), "http/1.1")
	io.WriteString(slow, "GET / HTTP/1.1\r\n")
	expectDoQAnswer(t, dialDoQ(t, s), plainQuery) // by now the server has seen the others
	s.stop(t)
	if _, err := io.ReadAll(stalled); err == nil {
		t.Error("stalled stream got an answer")
	}
}

// takenUDP is a UDP socket on a port that is free over TCP, and not one of those
// that the kernel gives to outgoing connections (ip(7), ip_local_port_range):
// other tests could get it meanwhile.
func takenUDP(t *testing.T) net.PacketConn {
	t.Helper()
	const first, last = 10_000, 32_767
	var err error
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(last-first))
		var udp net.PacketConn
		if udp, err = net.ListenPacket("udp", addr); err != nil {
			continue
		}
		t.Cleanup(func() { udp.Close() })
		var tcp net.Listener
		if tcp, err = net.Listen("tcp", addr); err == nil {
			tcp.Close()
			return udp
		}
	}
	t.Fatal(err)
	return nil
}

func TestBindDoHTakesBothPortsOrNone(t *testing.T) {
	addr := takenUDP(t).LocalAddr().String()
	cfg := webConfig()
	cfg.DoH = []string{addr}
	if _, err := Bind(cfg, mirror); err == nil || !strings.Contains(err.Error(), "listen doh "+addr+": UDP for HTTP/3: ") {
		t.Fatalf("got %v, want an error that names the address and HTTP/3", err)
	}
	tcp, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatalf("TCP is still bound: %v", err)
	}
	tcp.Close()
}

func TestBindWithoutWhatItNeeds(t *testing.T) {
	for name, cfg := range map[string]Config{
		"doh":  {DoH: []string{"127.0.0.1:0"}},
		"doq":  {DoQ: []string{"127.0.0.1:0"}},
		"http": {HTTP: []string{"127.0.0.1:0"}},
	} {
		if _, err := Bind(cfg, mirror); err == nil || !strings.HasPrefix(err.Error(), "listen "+name) {
			t.Errorf("%s: got %v, want an error", name, err)
		}
	}
}

func TestPlainHTTPServesTheGivenHandlerAlone(t *testing.T) {
	cfg := webConfig()
	cfg.HTTP = []string{"127.0.0.1:0"}
	cfg.HTTPHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path) })
	s := start(t, cfg, mirror)
	const path = "/.well-known/acme-challenge/x"
	res, body := do(t, http.DefaultClient, request(t, "GET", "http://"+s.addrOf(t, "http")+path, nil))
	if res.StatusCode != 200 || string(body) != path {
		t.Errorf("got %s %q", res.Status, body)
	}
	http.DefaultClient.CloseIdleConnections()
}

// A client that comes for a tls-alpn-01 challenge gets that protocol, from the
// settings or from what they choose for it; otherwise it is refused, and so it is
// on every other transport.
func TestDoHKeepsTheALPNOfACME(t *testing.T) {
	none, always, chosen := webConfig(), webConfig(), webConfig()
	always.TLS.NextProtos = []string{acmeALPN}
	challenge := always.TLS.Clone()
	chosen.TLS.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if slices.Equal(hello.SupportedProtos, []string{acmeALPN}) {
			return challenge, nil
		}
		return nil, nil
	}
	for name, cfg := range map[string]Config{"none": none, "always": always, "chosen": chosen} {
		cfg.DoH, cfg.DoT = []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}
		s := start(t, cfg, mirror)
		for _, c := range []struct {
			offer []string
			chose string
		}{
			{[]string{"http/1.1", "h2"}, "h2"},
			{[]string{"http/1.1"}, "http/1.1"},
			{nil, ""},
			{[]string{acmeALPN}, acmeALPN},
			{[]string{"dot"}, "refused"},
		} {
			if c.chose == acmeALPN && name == "none" {
				c.chose = "refused"
			}
			if got := negotiated(t, s.addrOf(t, "doh"), c.offer); got != c.chose {
				t.Errorf("%s: offered %v, got %q, want %q", name, c.offer, got, c.chose)
			}
		}
		if got := negotiated(t, s.addrOf(t, "dot"), []string{acmeALPN}); got != "refused" {
			t.Errorf("%s: DoT with %s: got %q", name, acmeALPN, got)
		}
	}
}
