package listeners

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"domainpark/query"
)

func TestTurns(t *testing.T) {
	var waits uint
	turn := turn{waits: &waits}
	now := time.Now()
	for _, step := range []struct {
		after time.Duration
		waits uint
		over  bool
	}{
		{0, 0, false}, // the first read
		{turnTime - 1, 0, false},
		{turnTime, 0, true},
		{turnTime + 1, 2, false}, // had to wait
		{2 * turnTime, 2, false},
		{2*turnTime + 1, 2, true},
	} {
		waits = step.waits
		if turn.read(now.Add(step.after)); turn.over != step.over {
			t.Errorf("after %s, with %d waits: over %v, want %v", step.after, step.waits, turn.over, step.over)
		}
	}
	began := now.Add(3 * turnTime)
	waits++
	turn.read(began)
	for _, step := range []struct {
		after  time.Duration
		onward bool
		over   bool
	}{
		{turnTime / 2, true, false}, // it went on, and something was there
		{turnTime, false, true},     // which began anew, and had not to wait
		{turnTime, true, true},
		{2 * turnTime, true, false}, // it had to wait
		{5*turnTime/2 - 1, true, false},
		{3 * turnTime, false, true},
	} {
		at := began.Add(step.after)
		if step.onward {
			if turn.left, turn.worked = at.Add(-turnTime/2), turnTime/2-noWait; step.after == 2*turnTime {
				turn.worked--
			}
			turn.woken(at)
		} else {
			turn.read(at)
		}
		if turn.over != step.over {
			t.Errorf("%s after a turn began, onward %v: over %v, want %v", step.after, step.onward, turn.over, step.over)
		}
	}
	turn.pass()
	if turn.over || time.Since(turn.since) > time.Minute || turn.since.Before(now) {
		t.Error("a turn that is passed is not a new one")
	}
}

// TestConnectionsWithMoreToReadGiveWay: this goroutine, which never waits either,
// sees how far the server has got many times before it has answered everything.
// Without turns, on the one processor that there is here, it does so once in 10 ms.
func TestConnectionsWithMoreToReadGiveWay(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const queries, each = 12_000, 5 * time.Microsecond
	var answered atomic.Int64
	slow := resolverFunc(func(dst []byte, q *query.Query) []byte {
		for end := time.Now().Add(each); time.Now().Before(end); {
		}
		answered.Add(1)
		return mirror(dst, q)
	})
	for name, serve := range map[string]func(io.Writer, *directConn){
		"TCP": func(w io.Writer, here *directConn) {
			cfg := webConfig().withDefaults()
			s := newStreams(nil, query.TCP, &cfg, slow)
			s.start(here.TCPConn)
			w.Write(bytes.Repeat(framed(testMessage(1, 40)), queries))
		},
		"HTTP/2": func(w io.Writer, here *directConn) {
			cfg := webConfig().withDefaults()
			s := newH2Server(&cfg, &dohHandler{resolver: slow, cfg: &cfg})
			s.start(here, here, unlimited{time.Hour})
			w.Write(manyRequests(t, queries))
		},
	} {
		t.Run(name, func(t *testing.T) {
			answered.Store(0)
			here, client := directPair(t)
			serve(client, here)
			go io.Copy(io.Discard, client)
			seen := map[int64]bool{}
			for end := time.Now().Add(patience); answered.Load() < queries; runtime.Gosched() {
				if seen[answered.Load()] = true; time.Now().After(end) {
					t.Fatalf("%d of %d answered", answered.Load(), queries)
				}
			}
			if got := len(seen); got < 15 {
				t.Errorf("the others had %d turns during %s", got, queries*each)
			}
			client.Close()
		})
	}
}

// manyRequests is all that a client of HTTP/2 sends to ask so many queries.
func manyRequests(t *testing.T, n int) []byte {
	var out, block bytes.Buffer
	out.WriteString(http2.ClientPreface)
	framer := http2.NewFramer(&out, nil)
	if err := errors.Join(framer.WriteSettings(), framer.WriteWindowUpdate(0, 1<<20)); err != nil {
		t.Fatal(err)
	}
	encoder := hpack.NewEncoder(&block)
	for i := range uint32(n) {
		block.Reset()
		for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "x"}, {":path", "/dns-query?dns=AAABAAABAAAAAAAAAWEAAAEAAQ"}} {
			if err := encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
				t.Fatal(err)
			}
		}
		if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true}); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}
