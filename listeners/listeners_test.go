package listeners

import (
	"bytes"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"domainpark/query"
)

// resolverFunc is a Resolver that a test writes in place.
type resolverFunc func(dst []byte, q *query.Query) []byte

func (f resolverFunc) Resolve(dst []byte, q *query.Query) []byte { return f(dst, q) }

// mirror answers a message with itself, marked as a response, and anything that is
// a response or too short with silence.
var mirror = resolverFunc(func(dst []byte, q *query.Query) []byte {
	const responseByte, responseBit = 2, 0x80
	if len(q.Message) < headerBytes || q.Message[responseByte]&responseBit != 0 {
		return dst
	}
	start := len(dst)
	dst = append(dst, q.Message...)
	dst[start+responseByte] |= responseBit
	return dst
})

// testMessage is a message of n bytes with an ID.
func testMessage(id uint16, n int) []byte {
	m := make([]byte, n)
	binary.BigEndian.PutUint16(m, id)
	for i := headerBytes; i < n; i++ {
		m[i] = byte(i)
	}
	return m
}

// answerTo is what mirror answers to a message.
func answerTo(message []byte) []byte {
	answer := bytes.Clone(message)
	answer[2] |= 0x80
	return answer
}

// framed puts messages behind their lengths.
func framed(messages ...[]byte) []byte {
	var out []byte
	for _, m := range messages {
		out = binary.BigEndian.AppendUint16(out, uint16(len(m)))
		out = append(out, m...)
	}
	return out
}

// readFrame reads one message from a stream.
func readFrame(r io.Reader) ([]byte, error) {
	var length [lengthBytes]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	message := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(r, message)
	return message, err
}

// patience ends a test that would hang; nothing passes or fails by it in time.
const patience = 20 * time.Second

// running is a Set that serves.
type running struct {
	*Set
	cancel context.CancelFunc
	done   chan error
}

// start binds and serves cfg until the test ends or stop is called.
func start(t testing.TB, cfg Config, r Resolver) *running {
	t.Helper()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	set, err := Bind(cfg, r)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &running{set, cancel, make(chan error, 1)}
	go func() { s.done <- set.Serve(ctx) }()
	t.Cleanup(func() { s.stop(t) })
	return s
}

// stop drains the server; more than once is the same as once.
func (s *running) stop(t testing.TB) {
	t.Helper()
	s.cancel()
	select {
	case err := <-s.done:
		if err != nil {
			t.Errorf("Serve: %v", err)
		}
		s.done <- nil
	case <-time.After(patience):
		t.Fatal("Serve did not return")
	}
}

// addrOf is the address of the first listener of a transport.
func (s *running) addrOf(t testing.TB, transport string) string {
	t.Helper()
	for _, b := range s.Bound() {
		if b.Transport == transport {
			return b.Addr.String()
		}
	}
	t.Fatalf("%s is not bound", transport)
	return ""
}

// dial opens a connection that ends with the test and does not hang.
func dial(t testing.TB, network, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// logBuffer collects what a server logs.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// milestone counts, and tells when a number is reached.
type milestone struct {
	n       atomic.Int64
	at      int64
	reached chan struct{}
}

func newMilestone(at int64) *milestone { return &milestone{at: at, reached: make(chan struct{})} }

func (m *milestone) count() {
	if m.n.Add(1) == m.at {
		close(m.reached)
	}
}

// wait returns when the number is reached.
func (m *milestone) wait(t *testing.T) {
	t.Helper()
	select {
	case <-m.reached:
	case <-time.After(patience):
		t.Fatalf("counted to %d, want %d", m.n.Load(), m.at)
	}
}

// settled waits until count has come down to want.
func settled(t *testing.T, what string, want int, count func() int) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for count() > want {
		if time.Now().After(deadline) {
			t.Fatalf("%d %s, want %d again", count(), what, want)
		}
		runtime.Gosched()
	}
}

// descriptors counts this process's open files, where the system tells.
func descriptors() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}

// TestMain fails when the tests leave goroutines behind. Fuzzing keeps its own.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	status := m.Run()
	if flag.Lookup("test.fuzz").Value.String() != "" {
		os.Exit(status)
	}
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			fmt.Fprintf(os.Stderr, "tests left goroutines behind:\n%s", stacks[:runtime.Stack(stacks, true)])
			os.Exit(1)
		}
	}
	os.Exit(status)
}
