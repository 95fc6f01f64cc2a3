package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// smallDisk is a file system of 256 KiB that is gone when the test ends.
func smallDisk(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root mounts file systems")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "size=256k,mode=0700"); err != nil {
		t.Skipf("mount: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill takes what is left of the disk at dir; empty gives it back.
func fill(t *testing.T, dir string) (empty func()) {
	t.Helper()
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); err == nil {
		t.Fatal("the disk took more than it has")
	}
	return func() {
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
	}
}

// answersUntil asks one query after the other, each of which must be answered,
// until a metric is more than a number.
func (r *running) answersUntil(metric string, more float64) {
	r.t.Helper()
	var got float64
	for end := time.Now().Add(answerWithin); time.Now().Before(end); {
		if answer := ask(r.t, "udp", r.addr["udp"][0], "example.com.", dns.TypeMX); answer == "" {
			r.t.Fatal("no answer")
		}
		var ok bool
		all := r.metrics()
		if got, ok = all[metric]; !ok {
			r.t.Fatalf("there is no %s", metric)
		}
		if got > more {
			return
		}
	}
	r.t.Fatalf("%s is %v, and does not become more than %v", metric, got, more)
}

const (
	linesWritten = "query_log_lines_total{result=written}"
	linesFailed  = "query_log_lines_total{result=failed}"
)

func startLogging(t *testing.T, dir string) *running {
	t.Helper()
	return start(t, "--config", write(t, t.TempDir(), "settings.yaml", fmt.Sprintf(`
nameservers: [{name: ns1.park.example}]
listen: {udp: ["127.0.0.1:0"], tcp: [], dot: [], doh: [], doq: [], admin: ["127.0.0.1:0"]}
telemetry: {queries: {file: "%s/queries.log"}}
`, dir)))
}

// TestAnswersFlowWhenTheDiskOfTheQueryLogIsFull: several writes fail, which is one
// line of the log, and one more tells that it is over.
func TestAnswersFlowWhenTheDiskOfTheQueryLogIsFull(t *testing.T) {
	dir := smallDisk(t)
	srv := startLogging(t, dir)
	srv.answersUntil(linesWritten, 0)
	empty := fill(t, dir)
	srv.answersUntil(linesFailed, 0)
	srv.answersUntil(linesFailed, srv.metrics()[linesFailed]) // another write
	empty()
	srv.answersUntil(linesWritten, srv.metrics()[linesWritten])
	expectEachOnce(t, srv, "the query log can't be written: lines are lost, queries are answered", "the query log is written again")
	if !strings.Contains(srv.log.String(), "no space left on device") {
		t.Errorf("the log does not tell why:\n%s", srv.log.String())
	}
	if lines := loggedQueries(t, dir); lines == 0 {
		t.Error("the query log is empty")
	}
}

// TestQueryLogThatDisappearsIsBegunAnew loses no line: what was not yet written
// goes into the new file.
func TestQueryLogThatDisappearsIsBegunAnew(t *testing.T) {
	dir := t.TempDir()
	srv := startLogging(t, dir)
	srv.answersUntil(linesWritten, 0)
	before := loggedQueries(t, dir)
	if err := os.Remove(filepath.Join(dir, "queries.log")); err != nil {
		t.Fatal(err)
	}
	// The write that is next may still go into the file that was removed.
	for range 2 {
		srv.answersUntil(linesWritten, srv.metrics()[linesWritten])
	}
	if n := srv.metrics()[linesFailed]; n != 0 {
		t.Errorf("%v lines failed", n)
	}
	stopsInOrder(t, srv)
	if lines := loggedQueries(t, dir); before == 0 || lines == 0 {
		t.Errorf("%d lines before, %d after", before, lines)
	}
}

// loggedQueries counts the lines of a query log, all of which must be whole. A
// line that a full disk cut short ends in the middle.
func loggedQueries(t *testing.T, dir string) (n int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "queries.log"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var l struct{ Name string }
		if json.Unmarshal([]byte(line), &l) == nil && l.Name == "example.com." {
			n++
		}
	}
	return n
}

// expectEachOnce ends the server and wants each line in its log once.
func expectEachOnce(t *testing.T, srv *running, lines ...string) {
	t.Helper()
	stopsInOrder(t, srv)
	for _, line := range lines {
		if n := strings.Count(srv.log.String(), line); n != 1 {
			t.Errorf("%d lines with %q, want 1:\n%s", n, line, srv.log.String())
		}
	}
}

// faultySettings are of a server that orders certificates for hosts and keeps
// them in directory.
func faultySettings(p *acmeCA, directory, hosts string) string {
	return fmt.Sprintf(`
nameservers: [{name: ns1.park.example, addresses: [127.0.0.1]}, {name: ns2.park.example, addresses: [127.0.0.1]}]
listen: {udp: ["127.0.0.1:0"], tcp: ["127.0.0.1:0"], dot: ["127.0.0.1:0"], doh: ["127.0.0.1:0"], doq: ["127.0.0.1:0"], admin: ["127.0.0.1:0"]}
tls: {acme: {hosts: [%s], directory: %q, roots: %q}}
store: {directory: %q}
`, hosts, p.directory, p.rootsOfDirectory, directory)
}

// TestAnswersFlowWhenTheStoreIsFullOrReadOnly: a certificate that can't be kept
// is served all the same; one that can't be ordered leaves the others as they
// are; and each attempt is a line of the log and a number.
func TestAnswersFlowWhenTheStoreIsFullOrReadOnly(t *testing.T) {
	dir := smallDisk(t)
	p := newACMECA(t)
	p.down.Store(true)
	file := write(t, t.TempDir(), "settings.yaml", faultySettings(p, dir, testHost))
	srv := start(t, "--config", file)
	p.open(srv)
	srv.await(`msg="certificate order failed`)
	const (
		written, unwritten = "store_operations_total{operation=write,result=success}", "store_operations_total{operation=write,result=failure}"
		unlocked           = "store_operations_total{operation=lock,result=failure}"
		issued, failed     = "certificate_orders_total{name=" + testHost + ",result=issued}", "certificate_orders_total{name=" + testHost + ",result=failed}"
		second             = "certificate_orders_total{name=ns2.park.example,result=issued}"
	)

	empty := fill(t, dir)
	p.down.Store(false)
	srv.signal(syscall.SIGHUP)
	srv.await("is served but can't be kept")
	srv.answersUntil(unwritten, 0)
	expectVerified(t, srv, p)
	if m := srv.metrics(); m[issued] != 1 || m[failed] != 2 {
		t.Errorf("%v issued, %v failed", m[issued], m[failed])
	}

	empty()
	kept := srv.metrics()[written]
	srv.signal(syscall.SIGHUP)
	srv.answersUntil(written, kept)
	if m := srv.metrics(); m[issued] != 1 || m[failed] != 2 {
		t.Errorf("with room again: %v issued, %v failed", m[issued], m[failed])
	}
	if _, err := os.Stat(filepath.Join(dir, testHost)); err != nil {
		t.Error(err)
	}

	remount(t, dir, unix.MS_RDONLY)
	write(t, filepath.Dir(file), filepath.Base(file), faultySettings(p, dir, testHost+", ns2.park.example"))
	srv.signal(syscall.SIGHUP)
	srv.await("the store is read only to this process")
	srv.answersUntil(unlocked, 0)
	expectVerified(t, srv, p)

	remount(t, dir, 0)
	srv.signal(syscall.SIGHUP)
	srv.answersUntil(second, 0)
	stopsInOrder(t, srv)
	for what, want := range map[string]int{"certificate order failed": 2, "certificate renewal failed": 1} {
		if n := strings.Count(srv.log.String(), what); n != want {
			t.Errorf("%d lines %q, want %d:\n%s", n, what, want, srv.log.String())
		}
	}
}

func remount(t *testing.T, dir string, flags uintptr) {
	t.Helper()
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT|flags, "size=256k"); err != nil {
		t.Fatal(err)
	}
}
