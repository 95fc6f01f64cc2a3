package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"domainpark/query"
)

// runQueryLog runs a log of all queries. stop ends it and waits until
// everything is written.
func runQueryLog(t *testing.T, path string, log *slog.Logger) (l *QueryLog, stop func()) {
	t.Helper()
	l, err := OpenQueryLog(path, 1, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); l.Run(ctx) }()
	return l, func() { cancel(); <-done }
}

func named(name string) *query.Query {
	q := observed()
	q.Name = []byte(name)
	return &q
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestQueryLogLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queries.log")
	l, stop := runQueryLog(t, path, slog.New(slog.DiscardHandler))
	client := netip.MustParseAddrPort("[2001:db8::1]:5353")
	received := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.FixedZone("", 3600))
	l.Observe(&query.Query{
		Message: make([]byte, 40), Client: client, Received: received, Transport: query.DoQ,
		Name: []byte("\x04a.\"\n\x02<\\\x07example\x00"), Type: 65300, Class: 1, HasOPT: true, DO: true,
		Cookie: query.CookieValid, Kind: query.KindNoData, Verdict: query.Slipped, Truncate: true, Size: 99,
	})
	l.Observe(&query.Query{Message: make([]byte, 3), Client: client, Received: received, Verdict: query.Silent})
	stop()
	want := `{"time":"2026-01-02T02:04:05.000006Z","client":"2001:db8::1","port":5353,"transport":"doq","name":"a\\.\\\"\\010.<\\\\.example.","type":"TYPE65300","class":"IN","edns":true,"do":true,"cookie":"valid","received":40,"verdict":"slipped","kind":"nodata","rcode":"noerror","truncated":true,"sent":99}
{"time":"2026-01-02T02:04:05.000006Z","client":"2001:db8::1","port":5353,"transport":"udp","edns":false,"do":false,"cookie":"none","received":3,"verdict":"silent","kind":"none","truncated":false,"sent":0}
`
	if got := read(t, path); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o007 != 0 {
		t.Errorf("others may read it: %v, %v", info.Mode(), err)
	}
}

func TestQueryLogIsDocumented(t *testing.T) {
	page := read(t, "../docs/querylog.md")
	fields := reflect.TypeFor[queryLine]()
	for i := range fields.NumField() {
		name, _, _ := strings.Cut(fields.Field(i).Tag.Get("json"), ",")
		if !strings.Contains(page, "| `"+name+"` |") {
			t.Errorf("docs/querylog.md does not say what %q is", name)
		}
	}
}

// Whatever bytes a name has, a line is one line of JSON and names are told apart.
func TestQueryLogEscapesEveryByte(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queries.log")
	l, stop := runQueryLog(t, path, slog.New(slog.DiscardHandler))
	for c := range 256 {
		l.Observe(named("\x01" + string([]byte{byte(c)}) + "\x00"))
	}
	stop()
	seen := map[string]bool{}
	for line := range strings.Lines(read(t, path)) {
		var fields struct{ Name string }
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Errorf("%v: %s", err, line)
		}
		for _, c := range []byte(fields.Name) {
			if c < ' ' || c > '~' {
				t.Errorf("%q in %q", c, fields.Name)
			}
		}
		seen[fields.Name] = true
	}
	if len(seen) != 256 {
		t.Errorf("%d names", len(seen))
	}
}

func TestQueryLogSample(t *testing.T) {
	const queries = 4000
	for sample, most := range map[float64]int{0: 0, 0.25: queries * 3 / 10, 1: queries} {
		l := &QueryLog{share: shareOf(sample), queue: make(chan entry, queries), count: new(lineCounts)}
		q := observed()
		for range queries {
			l.Observe(&q)
		}
		if n := len(l.queue); n > most || n < most*2/3 {
			t.Errorf("a sample of %v: %d of %d", sample, n, queries)
		}
	}
}

func TestQueryLogDropsAndCountsWhatTheDiskIsTooSlowFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queries.log")
	l, err := OpenQueryLog(path, 1, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for range queueLines + 10 { // nobody writes yet
		l.Observe(named("\x00"))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l.Run(ctx)
	lines := gather(t, QueryLogSource(func() *QueryLog { return l }))["query_log_lines_total"]
	for result, want := range map[string]float64{"written": queueLines, "dropped": 10, "failed": 0} {
		if n := having(t, lines, result).GetCounter().GetValue(); n != want {
			t.Errorf("%v %s, want %v", n, result, want)
		}
	}
	if n := strings.Count(read(t, path), "\n"); n != queueLines {
		t.Errorf("%d lines in the file", n)
	}
}

// Rotation needs no signal: a file that is moved or removed is begun anew.
func TestQueryLogFollowsItsName(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "queries.log")
	synctest.Test(t, func(t *testing.T) {
		l, stop := runQueryLog(t, path, slog.New(slog.DiscardHandler))
		observe := func(n int) {
			l.Observe(named(fmt.Sprintf("\x01%d\x00", n)))
			time.Sleep(flushEvery)
			synctest.Wait()
		}
		observe(1)
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		observe(2)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		observe(3)
		stop()
	})
	if got := read(t, path+".1"); !strings.Contains(got, `"name":"1."`) || strings.Count(got, "\n") != 1 {
		t.Errorf("moved away: %s", got)
	}
	if got := read(t, path); !strings.Contains(got, `"name":"3."`) || strings.Count(got, "\n") != 1 {
		t.Errorf("begun anew: %s", got)
	}
}

func TestQueryLogOnAFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip(err)
	}
	var log bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		l, stop := runQueryLog(t, "/dev/full", slog.New(slog.NewTextHandler(&log, nil)))
		for range 90 { // 90 s
			l.Observe(named("\x00"))
			time.Sleep(flushEvery)
		}
		stop()
		if n := l.count.failed.Load(); n != 90 {
			t.Errorf("%d lines failed", n)
		}
	})
	if n := strings.Count(log.String(), "no space left on device"); n != 2 {
		t.Errorf("%d complaints in 90 s:\n%s", n, log.String())
	}
}

// A line that was cut off by a full disk ends before the next one begins.
func TestLogFileEndsATornLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queries.log")
	f, err := openLogFile(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	f.write([]byte(`{"cut`), time.Now())
	f.torn = true
	f.write([]byte("{}\n"), time.Now())
	f.write([]byte("{}\n"), time.Now())
	f.close()
	if got := read(t, path); got != "{\"cut\n{}\n{}\n" {
		t.Errorf("%q", got)
	}
}

// Who rotates logs moves the file away, has it opened anew, and then finds every
// line of before in it. No second passes here: nothing else opens the file.
func TestQueryLogIsOpenedAnewWhenAskedTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "queries.log")
		l, stop := runQueryLog(t, path, slog.Default())
		l.Observe(named("\x06before\x00"))
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		l.Reopen()
		synctest.Wait()
		l.Observe(named("\x05after\x00"))
		stop()
		if before, after := read(t, path+".1"), read(t, path); strings.Count(before, "\n") != 1 || !strings.Contains(before, "before.") ||
			strings.Count(after, "\n") != 1 || !strings.Contains(after, "after.") {
			t.Errorf("before: %s\nafter: %s", before, after)
		}
	})
}

// Also when it ends at the same time: settings that name another file came with
// the signal. Which of the two Run sees first is chance, hence the repetitions.
func TestQueryLogIsOpenedAnewBeforeItEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queries.log")
	for range 30 {
		l, err := OpenQueryLog(path, 1, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		l.Observe(named("\x03one\x00"))
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		l.Reopen()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		l.Run(ctx)
		if moved, anew := read(t, path+".1"), read(t, path); strings.Count(moved+anew, "one.") != 1 {
			t.Fatalf("moved away: %q, anew: %q", moved, anew)
		}
	}
}

// TestQueryLogDrainsInAFlood: as many queries come as are written. Lines without
// end were kept in memory then, and the file was not opened anew.
func TestQueryLogDrainsInAFlood(t *testing.T) {
	l, err := OpenQueryLog(filepath.Join(t.TempDir(), "queries.log"), 1, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.Observe(named("\x01a\x00"))
	l.Observe(named("\x01b\x00"))
	drained := 0
	l.drain(func(*entry) {
		if drained++; drained > queueLines {
			t.Fatal("there is no end to it")
		}
		l.Observe(named("\x01c\x00"))
	})
	if drained != 2 || len(l.queue) != 2 {
		t.Errorf("%d drained, %d wait; want 2 and 2", drained, len(l.queue))
	}
}

// A log that takes the place of another counts on, so that no counter falls.
func TestQueryLogCountsOn(t *testing.T) {
	dir := t.TempDir()
	var logs []*QueryLog
	for _, name := range []string{"a", "b"} {
		l, err := OpenQueryLog(filepath.Join(dir, name), 1, slog.Default())
		if err != nil {
			t.Fatal(err)
		}
		logs = append(logs, l)
	}
	logs[1].CountOn(logs[0])
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, l := range logs {
		l.Observe(named("\x07example\x00"))
		l.Run(ended)
	}
	for _, l := range logs {
		lines := gather(t, QueryLogSource(func() *QueryLog { return l }))["query_log_lines_total"]
		if got := having(t, lines, "written").GetCounter().GetValue(); got != 2 {
			t.Errorf("%v lines written, want 2", got)
		}
	}
}

func TestQueryLogThatCantBeOpened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "absent", "queries.log")
	if _, err := OpenQueryLog(path, 1, slog.Default()); err == nil || err.Error() != path+": no such file or directory" {
		t.Error(err)
	}
}

func TestQueryLogAllocatesNothing(t *testing.T) {
	l := &QueryLog{share: shareOf(1), queue: make(chan entry, 10), count: new(lineCounts)}
	q := named("\x07example\x00")
	if n := testing.AllocsPerRun(100, func() { l.Observe(q) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkQueryLog is what a sample of 1 % costs a query, and one of all.
func BenchmarkQueryLog(b *testing.B) {
	for _, sample := range []float64{0.01, 1} {
		b.Run(fmt.Sprint(sample), func(b *testing.B) {
			l, err := OpenQueryLog(filepath.Join(b.TempDir(), "queries.log"), sample, slog.Default())
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(b.Context())
			done := make(chan struct{})
			go func() { defer close(done); l.Run(ctx) }()
			q := named("\x07example\x03com\x00")
			for b.Loop() {
				l.Observe(q)
			}
			cancel()
			<-done
			b.ReportMetric(float64(l.count.dropped.Load())/float64(b.N), "dropped/op")
		})
	}
}
