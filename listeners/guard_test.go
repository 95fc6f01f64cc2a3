package listeners

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"domainpark/query"
)

// faulty panics at messages of 13 bytes and answers others.
var faulty = resolverFunc(func(dst []byte, q *query.Query) []byte {
	if len(q.Message) == 13 {
		panic("thirteen")
	}
	return mirror(dst, q)
})

func TestGuardTurnsAPanicIntoSilence(t *testing.T) {
	var log logBuffer
	g := &guard{resolver: faulty, log: slog.New(slog.NewTextHandler(&log, nil))}
	now := time.Unix(1e9, 0)
	at := func(sinceStart time.Duration) *query.Query {
		return &query.Query{Message: testMessage(0xbeef, 13), Received: now.Add(sinceStart)}
	}
	for _, since := range []time.Duration{0, 1, time.Second - 1, time.Second} {
		if got := g.Resolve([]byte("dst"), at(since)); string(got) != "dst" {
			t.Errorf("got %q, want what was there before", got)
		}
	}
	if got := g.panics.Load(); got != 4 {
		t.Errorf("%d panics counted, want 4", got)
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines logged, want one a second:\n%s", len(lines), log.String())
	}
	for i, want := range []string{"more=0", "more=2"} {
		for _, want := range []string{want, "panic=thirteen", "query=beef", "bytes=13", "guard_test.go"} {
			if !strings.Contains(lines[i], want) {
				t.Errorf("line %d does not say %s: %s", i, want, lines[i])
			}
		}
	}
}

func TestPanicCostsThatQueryOnly(t *testing.T) {
	cfg := Config{UDP: []string{"127.0.0.1:0"}, TCP: []string{"127.0.0.1:0"}, Workers: 1}
	s := start(t, cfg, faulty)
	udp := dial(t, "udp", s.addrOf(t, "udp"))
	if _, err := udp.Write(testMessage(1, 13)); err != nil {
		t.Fatal(err)
	}
	if got := askUDP(t, udp, testMessage(2, 12)); !bytes.Equal(got, answerTo(testMessage(2, 12))) {
		t.Errorf("got %x", got)
	}
	tcp := dial(t, "tcp", s.addrOf(t, "tcp"))
	if _, err := tcp.Write(framed(testMessage(1, 12), testMessage(2, 13))); err != nil {
		t.Fatal(err)
	}
	if got, err := readFrame(tcp); err != nil || !bytes.Equal(got, answerTo(testMessage(1, 12))) {
		t.Errorf("before the panic: %x, %v", got, err)
	}
	if got, err := readFrame(tcp); err == nil {
		t.Errorf("after the panic: %x, want the end", got)
	}
	if s.Panics() != 2 {
		t.Errorf("%d panics, want 2", s.Panics())
	}
}

func TestThrottleLetsTheFirstThroughWhateverTheTime(t *testing.T) {
	var th throttle
	if _, ok := th.allow(time.Unix(0, 1), time.Hour); !ok {
		t.Error("the first event was held back")
	}
}

func BenchmarkGuard(b *testing.B) {
	nothing := resolverFunc(func(dst []byte, _ *query.Query) []byte { return dst })
	for name, r := range map[string]Resolver{"with": &guard{resolver: nothing}, "without": nothing} {
		b.Run(name, func(b *testing.B) {
			q, dst := new(query.Query), make([]byte, 0, 100)
			for b.Loop() {
				dst = r.Resolve(dst, q)
			}
		})
	}
}
