package telemetry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"domainpark/query"

	dnstap "github.com/dnstap/golang-dnstap"
	framestream "github.com/farsightsec/golang-framestream"
	"google.golang.org/protobuf/proto"
)

// lockedLog is a log that is read while it is written.
type lockedLog struct {
	lock sync.Mutex
	text bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.lock.Lock()
	defer l.lock.Unlock()
	return l.text.Write(p)
}

func (l *lockedLog) String() string {
	l.lock.Lock()
	defer l.lock.Unlock()
	return l.text.String()
}

// tapCollector is the other end of the pipes that a tap dials.
type tapCollector struct {
	gone atomic.Bool // nobody listens

	lock sync.Mutex
	took []*dnstap.Dnstap
	end  net.Conn // of the last connection
}

// messages are those that have come.
func (c *tapCollector) messages() []*dnstap.Dnstap {
	c.lock.Lock()
	defer c.lock.Unlock()
	return slices.Clone(c.took)
}

// breaks closes the connection.
func (c *tapCollector) breaks() {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.end.Close()
}

// dial is how a tap gets to c.
func (c *tapCollector) dial(t *testing.T) func() (net.Conn, error) {
	return func() (net.Conn, error) {
		if c.gone.Load() {
			return nil, errors.New("nobody listens")
		}
		here, there := net.Pipe()
		c.lock.Lock()
		c.end = there
		c.lock.Unlock()
		go c.read(t, there)
		return here, nil
	}
}

// runTap makes a tap that runs until the test ends or end is called.
func runTap(t *testing.T, dial func() (net.Conn, error)) (tap *Tap, log *lockedLog, end func()) {
	t.Helper()
	log = new(lockedLog)
	tap = NewTap(TapConfig{Network: "unix", Address: "/collector", Identity: "ns1", Version: "domain-park 1", Log: slog.New(slog.NewTextHandler(log, nil))})
	tap.dial = func(context.Context, string, string) (net.Conn, error) { return dial() }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		tap.Run(ctx)
		close(done)
	}()
	return tap, log, func() {
		cancel()
		<-done
	}
}

// read takes messages until the tap says that there are no more.
func (c *tapCollector) read(t *testing.T, conn net.Conn) {
	defer conn.Close()
	r, err := framestream.NewReader(conn, &framestream.ReaderOptions{ContentTypes: [][]byte{dnstap.FSContentType}, Bidirectional: true})
	if err != nil {
		return
	}
	buf := make([]byte, 1<<17)
	for {
		n, err := r.ReadFrame(buf)
		if err != nil {
			if err != io.EOF && !errors.Is(err, io.ErrClosedPipe) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Error(err)
			}
			return
		}
		d := new(dnstap.Dnstap)
		if err := proto.Unmarshal(buf[:n], d); err != nil {
			t.Error(err)
		}
		c.lock.Lock()
		c.took = append(c.took, d)
		c.lock.Unlock()
	}
}

// tappedQuery is a query with an answer.
func tappedQuery(transport query.Transport, answer string) *query.Query {
	return &query.Query{Message: []byte("query"), Answer: []byte(answer), Transport: transport,
		Client: netip.MustParseAddrPort("192.0.2.1:5353"), Received: time.Unix(1000, 5)}
}

func TestTapSendsQueriesAndAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := new(tapCollector)
		tap, _, end := runTap(t, c.dial(t))
		var want []dnstap.SocketProtocol
		for transport := range query.Transports {
			tap.Observe(tappedQuery(transport, "answer"))
			want = append(want, protocols[transport], protocols[transport])
		}
		six := tappedQuery(query.UDP, "") // a query that got no answer
		six.Client = netip.MustParseAddrPort("[2001:db8::1]:53")
		tap.Observe(six)
		synctest.Wait() // until it is connected
		end()           // sends what is queued
		synctest.Wait()
		if len(c.messages()) != len(want)+1 || tap.written.Load() != uint64(len(c.messages())) || tap.bytes.Load() != 0 {
			t.Fatalf("%d messages, %d counted, %d bytes left; want %d", len(c.messages()), tap.written.Load(), tap.bytes.Load(), len(want)+1)
		}
		var got []dnstap.SocketProtocol
		for i, d := range c.messages()[:len(want)] {
			m := d.GetMessage()
			got = append(got, m.GetSocketProtocol())
			if string(d.Identity) != "ns1" || string(d.Version) != "domain-park 1" || d.GetType() != dnstap.Dnstap_MESSAGE ||
				netip.MustParseAddr("192.0.2.1") != addr(m.QueryAddress) || m.GetQueryPort() != 5353 || m.GetSocketFamily() != dnstap.SocketFamily_INET ||
				m.GetQueryTimeSec() != 1000 || m.GetQueryTimeNsec() != 5 {
				t.Errorf("%v", d)
			}
			if response := i%2 == 1; response != (m.GetType() == dnstap.Message_AUTH_RESPONSE) || response != (string(m.ResponseMessage) == "answer") ||
				response == (string(m.QueryMessage) == "query") || response != (m.ResponseTimeSec != nil) {
				t.Errorf("%d: %v", i, m)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("protocols %v, want %v", got, want)
		}
		last := c.messages()[len(want)].GetMessage()
		if last.GetType() != dnstap.Message_AUTH_QUERY || last.GetSocketFamily() != dnstap.SocketFamily_INET6 || addr(last.QueryAddress) != six.Client.Addr() {
			t.Errorf("%v", last)
		}
	})
}

func addr(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}

func TestTapOutlivesItsCollector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := new(tapCollector)
		c.gone.Store(true)
		tap, log, end := runTap(t, c.dial(t))
		defer end()
		for range 2 * tapMessages {
			tap.Observe(tappedQuery(query.UDP, "answer"))
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if len(tap.queue) != tapMessages || tap.dropped.Load() != 2*tapMessages || tap.connected.Load() {
			t.Errorf("%d wait, %d messages dropped, connected %t", len(tap.queue), tap.dropped.Load(), tap.connected.Load())
		}
		if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "nobody listens") {
			t.Errorf("%d lines tell of it:\n%s", n, log)
		}
		c.gone.Store(false)
		time.Sleep(tapRetryMost + tapFlush)
		synctest.Wait()
		if len(c.messages()) != 2*tapMessages || !tap.connected.Load() || !strings.Contains(log.String(), "the collector is back") {
			t.Errorf("%d messages of what waited, connected %t:\n%s", len(c.messages()), tap.connected.Load(), log)
		}
		c.breaks() // and it is lost again
		tap.Observe(tappedQuery(query.UDP, "answer"))
		time.Sleep(tapRetry + 2*tapFlush)
		synctest.Wait()
		tap.Observe(tappedQuery(query.UDP, "another"))
		time.Sleep(tapFlush)
		synctest.Wait()
		if got := c.messages()[len(c.messages())-1].GetMessage().ResponseMessage; string(got) != "another" {
			t.Errorf("the last message is %q:\n%s", got, log)
		}
	})
}

// TestTapWithACollectorThatDoesNotRead: it takes the connection, and then either
// says nothing or shakes hands and reads no message.
func TestTapWithACollectorThatDoesNotRead(t *testing.T) {
	for name, shake := range map[string]bool{"deaf": false, "stuck": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var ends []net.Conn
				tap, log, end := runTap(t, func() (net.Conn, error) {
					here, there := net.Pipe()
					ends = append(ends, there)
					if shake {
						go framestream.NewReader(there, &framestream.ReaderOptions{ContentTypes: [][]byte{dnstap.FSContentType}, Bidirectional: true})
					}
					return here, nil
				})
				big := string(make([]byte, 60_000))
				for range 2 * tapMessages { // Observe never waits, or synctest would tell
					tap.Observe(tappedQuery(query.TCP, big))
				}
				if waiting := tap.bytes.Load(); waiting > tapBytes {
					t.Errorf("%d bytes wait", waiting)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if tap.dropped.Load() == 0 || !strings.Contains(log.String(), "messages are lost until") {
					t.Errorf("%d dropped:\n%s", tap.dropped.Load(), log)
				}
				begin := time.Now()
				end()
				if took := time.Since(begin); took > tapEnd+tapTimeout {
					t.Errorf("it took %s to end", took)
				}
				for _, c := range ends {
					c.Close()
				}
			})
		})
	}
}
