package main

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"domainpark/query"
)

// observing is a server that counts and logs one query in a hundred, without
// dnstap, and a query as the resolver leaves it.
func observing(tb testing.TB) (*server, *query.Query) {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "settings.yaml")
	err := os.WriteFile(file, []byte(`
nameservers: [{name: ns1.park.example}]
telemetry: {queries: {file: queries.log, sample: 0.01}}
`), 0o600)
	if err != nil {
		tb.Fatal(err)
	}
	srv, err := (&source{Config: file}).load()
	if err != nil {
		tb.Fatal(err)
	}
	if err := srv.openQueryLog(slog.New(slog.DiscardHandler)); err != nil {
		tb.Fatal(err)
	}
	return srv, &query.Query{
		Message: make([]byte, 50), Received: time.Now(), Type: 16, Class: 1, Name: []byte("\x07example\x03com\x00"),
		Client: netip.MustParseAddrPort("192.0.2.7:5353"), Kind: query.KindAnswer, Verdict: query.Answered, Size: 100,
	}
}

func TestObservingAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	srv, q := observing(t)
	defer srv.queryLog.Load().Close()
	if n := testing.AllocsPerRun(10_000, func() { srv.observe(q) }); n != 0 {
		t.Errorf("%v allocations a query", n)
	}
}

// BenchmarkObserve is what telemetry costs a query, with dnstap off: metrics
// alone; with one query in a hundred queued for the query log, when nobody
// writes it; and when somebody does, at whatever share of the machine that takes
// at millions of queries a second.
func BenchmarkObserve(b *testing.B) {
	for _, c := range []struct {
		name            string
		logged, written bool
	}{{"metrics", false, false}, {"log-queued", true, false}, {"log-written", true, true}} {
		b.Run(c.name, func(b *testing.B) {
			srv, q := observing(b)
			if !c.logged {
				srv.queryLog.Swap(nil).Close()
			} else if c.written {
				srv.startQueryLog()
			} else {
				b.Cleanup(srv.queryLog.Load().Close)
			}
			b.Cleanup(srv.tasks.end)
			b.ReportAllocs()
			for b.Loop() {
				srv.observe(q)
			}
		})
	}
}
