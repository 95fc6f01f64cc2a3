package listeners

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"domainpark/query"
)

// pipes is a listener on the clock of a synctest bubble: what a test puts into
// queue is accepted.
type pipes struct {
	queue    chan any // net.Conn or error
	ended    chan struct{}
	once     sync.Once
	accepted int
}

func newPipes() *pipes { return &pipes{queue: make(chan any, 100), ended: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	p.accepted++
	select {
	case <-p.ended:
		return nil, os.ErrDeadlineExceeded
	case v := <-p.queue:
		if c, ok := v.(net.Conn); ok {
			return c, nil
		}
		return nil, v.(error)
	}
}

func (p *pipes) SetDeadline(by time.Time) error {
	time.AfterFunc(time.Until(by), func() { p.Close() })
	return nil
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.ended) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// dial is a client's connection to p.
func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.queue <- server
	return client
}

// inBubble runs test in a synctest bubble with a stream server on p.
func inBubble(t *testing.T, secure bool, r Resolver, test func(t *testing.T, p *pipes, stop func())) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		cfg := &Config{Timeouts: Timeouts{}.withDefaults(), Log: slog.New(slog.DiscardHandler)}
		s := newStreams(p, query.TCP, cfg, r)
		if secure {
			config := dotConfig(webConfig().TLS)
			s.secure = func(c net.Conn) *tls.Conn { return tls.Server(c, config) }
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.serve(ctx) }()
		test(t, p, cancel)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
		time.Sleep(time.Minute) // for clients that drip, to notice the end
	})
}

// endsAfter reads to the end and compares the time until then.
func endsAfter(t *testing.T, c net.Conn, begin time.Time, want time.Duration) {
	t.Helper()
	_, _ = io.Copy(io.Discard, c)
	if got := time.Since(begin); got != want {
		t.Errorf("closed after %v, want %v", got, want)
	}
}

// drip writes a byte a second until the connection ends.
func drip(c net.Conn, data []byte) {
	for _, b := range data {
		if _, err := c.Write([]byte{b}); err != nil {
			return
		}
		time.Sleep(time.Second)
	}
}

func TestStreamTimeouts(t *testing.T) {
	limits := Timeouts{}.withDefaults()
	whole := framed(testMessage(1, 40))
	for _, c := range []struct {
		name   string
		secure bool
		act    func(net.Conn) // before the client only waits for the end
		want   time.Duration
	}{
		{"a client that says nothing", false, func(net.Conn) {}, limits.Idle},
		{"a client that asked before", false, func(c net.Conn) {
			time.Sleep(4 * time.Second)
			_, _ = c.Write(whole)
			_, _ = readFrame(c)
		}, 4*time.Second + limits.Idle},
		{"half a message", false, func(c net.Conn) { _, _ = c.Write(whole[:20]) }, limits.Message},
		{"a byte a second", false, func(c net.Conn) { go drip(c, whole) }, limits.Message},
		{"a message, then a byte a second", false, func(c net.Conn) {
			time.Sleep(time.Second)
			go func() {
				_, _ = c.Write(append(bytes.Clone(whole), whole[:5]...))
				drip(c, whole[5:])
			}()
		}, time.Second + limits.Message},
		{"a client that does not read", false, func(c net.Conn) {
			_, _ = c.Write(whole)
			time.Sleep(limits.Write + time.Second) // the pipe has no buffer: the answer waits
		}, limits.Write + time.Second},
		{"a client that says nothing, TLS", true, func(net.Conn) {}, limits.Handshake},
		{"a handshake of a byte a second", true, func(c net.Conn) { go drip(c, helloBytes(t)) }, limits.Handshake},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, c.secure, mirror, func(t *testing.T, p *pipes, _ func()) {
				client := p.dial()
				defer client.Close()
				begin := time.Now()
				c.act(client)
				endsAfter(t, client, begin, c.want)
			})
		})
	}
}

// helloBytes is what a TLS client says first.
func helloBytes(t *testing.T) []byte {
	t.Helper()
	client, server := net.Pipe()
	go func() {
		_ = tls.Client(client, clientTLS("dot")).Handshake()
		client.Close()
	}()
	hello := make([]byte, 100) // more than a test with a byte a second gets to
	if _, err := io.ReadFull(server, hello); err != nil {
		t.Fatal(err)
	}
	server.Close()
	return hello
}

func TestStreamThatIsIdleUnderTLS(t *testing.T) {
	inBubble(t, true, mirror, func(t *testing.T, p *pipes, _ func()) {
		config := clientTLS("dot")
		config.InsecureSkipVerify = true // a bubble's clock begins in the year 2000
		c := tls.Client(p.dial(), config)
		defer c.Close()
		write(t, c, framed(testMessage(1, 12)))
		expectAnswer(t, c, testMessage(1, 12))
		begin := time.Now()
		// The end is said (close_notify), so that the client knows it for one.
		if _, err := c.Read(make([]byte, 1)); err != io.EOF || time.Since(begin) != 10*time.Second {
			t.Errorf("ended with %v after %v, want EOF after 10 s", err, time.Since(begin))
		}
	})
}

// TestStreamRecordThatDripsUnderTLS: the time of a message runs from the first
// byte of the record that brings it.
func TestStreamRecordThatDripsUnderTLS(t *testing.T) {
	inBubble(t, true, mirror, func(t *testing.T, p *pipes, _ func()) {
		cork := &corked{Conn: p.dial()}
		c := tls.Client(cork, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"dot"}})
		write(t, c, framed(testMessage(1, 12)))
		expectAnswer(t, c, testMessage(1, 12))
		time.Sleep(time.Second)
		cork.active = true
		write(t, c, framed(testMessage(2, 12)))
		begin := time.Now()
		go drip(cork.Conn, cork.kept)
		if _, err := c.Read(make([]byte, 1)); err != io.EOF || time.Since(begin) != 3*time.Second {
			t.Errorf("ended with %v after %v, want EOF after 3 s", err, time.Since(begin))
		}
	})
}

func TestStreamAcceptErrorsBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		var log logBuffer
		cfg := &Config{Timeouts: Timeouts{}.withDefaults(), Log: slog.New(slog.NewTextHandler(&log, nil))}
		s := newStreams(p, query.TCP, cfg, mirror)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		begin := time.Now()
		for range 20 {
			p.queue <- &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
		}
		c := p.dial()
		defer c.Close()
		go func() { done <- s.serve(ctx) }()
		write(t, c, framed(testMessage(1, 12)))
		expectAnswer(t, c, testMessage(1, 12))
		// 5 ms doubled eight times, then twelve times the most: 13.275 s.
		if took := time.Since(begin); took < 13*time.Second || took > 14*time.Second {
			t.Errorf("20 errors took %v, want pauses that grow to a second", took)
		}
		if lines := strings.Count(log.String(), "\n"); lines != 2 {
			t.Errorf("%d lines logged, want one every 10 s:\n%s", lines, log.String())
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestStreamListenerThatIsLostIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		p.queue <- net.ErrClosed
		s := newStreams(p, query.TCP, &Config{Timeouts: Timeouts{}.withDefaults()}, mirror)
		if err := s.serve(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v, want %v", err, net.ErrClosed)
		}
	})
}

// TestStreamThatIsNotReadIsCutOff also holds for TLS, where saying goodbye to
// a client that reads nothing would take five seconds more.
func TestStreamThatIsNotReadIsCutOff(t *testing.T) {
	limits := Timeouts{}.withDefaults()
	for _, secure := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newStreams(nil, query.TCP, &Config{Timeouts: limits, Log: slog.New(slog.DiscardHandler)}, mirror)
			client, server := net.Pipe()
			defer client.Close()
			if secure {
				config := dotConfig(webConfig().TLS)
				s.secure = func(c net.Conn) *tls.Conn { return tls.Server(c, config) }
				client = tls.Client(client, &tls.Config{InsecureSkipVerify: true})
			}
			s.start(server)
			write(t, client, framed(testMessage(1, 12)))
			expectAnswer(t, client, testMessage(1, 12))
			begin := time.Now()
			write(t, client, framed(testMessage(2, 12)))
			s.running.Wait()
			if took := time.Since(begin); took != limits.Write {
				t.Errorf("TLS %v: cut off after %v, want %v", secure, took, limits.Write)
			}
		})
	}
}
