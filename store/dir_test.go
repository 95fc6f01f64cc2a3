package store_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"domainpark/store"
	"domainpark/store/storetest"
)

// The test binary runs itself as another process on the same directory: it
// then does what childEnv says, prints a line and waits for its input to end.
const (
	childEnv = "DOMAINPARK_STORE_CHILD"
	dirEnv   = "DOMAINPARK_STORE_DIR"
)

func TestMain(m *testing.M) {
	if what := os.Getenv(childEnv); what != "" {
		child(what, os.Getenv(dirEnv))
		return
	}
	os.Exit(m.Run())
}

func child(what, dir string) {
	d, err := store.Open(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, in := context.Background(), bufio.NewReader(os.Stdin)
	if name, ok := strings.CutPrefix(what, "lock:"); ok {
		if _, err = d.Lock(ctx, name); err == nil {
			fmt.Println("locked")
		}
	} else {
		fmt.Println("ready")
		in.ReadString('\n')
		var seed [store.SeedBytes]byte
		if seed, err = d.Seed(ctx); err == nil {
			fmt.Printf("%x\n", seed)
		}
	}
	if err != nil {
		fmt.Println(err)
	}
	io.Copy(io.Discard, in)
}

// process is the test binary as another process.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func start(t *testing.T, dir, what string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), childEnv+"="+what, dirEnv+"="+dir)
	cmd.Stderr = os.Stderr
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd, in, bufio.NewReader(out)}
	t.Cleanup(p.kill)
	return p
}

func (p *process) line() string {
	line, _ := p.out.ReadString('\n')
	return strings.TrimSpace(line)
}

func (p *process) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// dirState is a directory as the suite wants it.
type dirState string

func (s dirState) Open(t *testing.T) store.Store {
	t.Helper()
	return open(t, string(s))
}

func (s dirState) Crash(t *testing.T, name string, held func()) {
	t.Helper()
	p := start(t, string(s), "lock:"+name)
	if got := p.line(); got != "locked" {
		t.Fatalf("the other process says %q, want locked", got)
	}
	held()
	p.kill()
}

func TestDir(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.State {
		return dirState(filepath.Join(t.TempDir(), "store"))
	})
}

func TestSeedIsTheSameForProcessesThatRace(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	processes := make([]*process, 4)
	for i := range processes {
		processes[i] = start(t, dir, "seed")
	}
	for _, p := range processes {
		if got := p.line(); got != "ready" {
			t.Fatalf("the other process says %q, want ready", got)
		}
	}
	var wg sync.WaitGroup
	seeds := make([]string, len(processes))
	for i, p := range processes {
		wg.Go(func() {
			io.WriteString(p.in, "go\n")
			seeds[i] = p.line()
		})
	}
	wg.Wait()
	for i, seed := range seeds {
		if len(seed) != 64 || seed != seeds[0] {
			t.Errorf("process %d: got seed %q, process 0 got %q", i, seed, seeds[0])
		}
	}
}

func TestFilesAreForTheOwnerAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "store")
	d := open(t, dir)
	put(t, d, "k")
	if _, err := d.Seed(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantMode(t, dir, 0o700)
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Fatalf("got %v, error %v, want k, seed and the seed's lock", entries, err)
	}
	for _, e := range entries {
		wantMode(t, filepath.Join(dir, e.Name()), 0o600)
	}
}

func TestLooseFilesAreTightenedOnOpen(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "seed")
	write(t, file, strings.Repeat("5a", 32))
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if seed, err := open(t, dir).Seed(t.Context()); err != nil || seed[31] != 0x5a {
		t.Fatalf("seed copied in: got %x, error %v", seed, err)
	}
	wantMode(t, file, 0o600)
}

func TestDirectoryThatOthersCanWriteToIsRefused(t *testing.T) {
	for _, mode := range []fs.FileMode{0o770, 0o777, 0o702} {
		dir := t.TempDir()
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		_, err := store.Open(dir)
		wantError(t, err, fmt.Sprintf("store %s: mode %04o", dir, mode), "run: chmod 700 "+dir)
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	open(t, dir) // others may look, as systemd's StateDirectory lets them
}

func TestFileInPlaceOfTheDirectoryIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "store")
	write(t, file, "")
	_, err := store.Open(file)
	wantError(t, err, file, "not a directory")
}

func TestOnlyOldTemporaryFilesAreLeftovers(t *testing.T) {
	dir := t.TempDir()
	old, fresh := filepath.Join(dir, ".tmp-1"), filepath.Join(dir, ".tmp-2")
	write(t, old, "half a va")
	write(t, fresh, "half a va")
	past := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(old, past, past); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("leftover of a crashed writer: got error %v, want it gone", err)
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Errorf("file of a writer at work: %v", err)
	}
}

func TestFailedWriteLeavesTheOldValueAndNoTemporaryFile(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	if err := os.Mkdir(filepath.Join(dir, "k"), 0o700); err != nil { // can't be renamed over
		t.Fatal(err)
	}
	wantError(t, d.Put(t.Context(), "k", []byte("v")), dir, `write "k"`)
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("got %v, error %v, want the directory k alone", entries, err)
	}
	_, err := d.Get(t.Context(), "k")
	wantError(t, err, `read "k"`, "not a regular file")
}

func TestDamagedSeedIsNotReplaced(t *testing.T) {
	for _, text := range []string{"", "00", strings.Repeat("x", 64), strings.Repeat("00", 33)} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "seed"), text)
		_, err := open(t, dir).Seed(t.Context())
		wantError(t, err, dir, "64 hex digits", "restore it")
		if got, err := os.ReadFile(filepath.Join(dir, "seed")); err != nil || string(got) != text {
			t.Errorf("the file holds %q, error %v, want it untouched", got, err)
		}
	}
}

func TestWaiterIsToldWhoHoldsTheLock(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir, "lock:order")
	if got := p.line(); got != "locked" {
		t.Fatalf("the other process says %q, want locked", got)
	}
	_, err := open(t, dir).Lock(endedContext(t), "order")
	wantError(t, err, dir, `lock "order"`, fmt.Sprintf("process %d on ", p.cmd.Process.Pid))
}

func TestRemovedLockFileIsNotTakenForALock(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	unlock, err := d.Lock(t.Context(), "order")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, ".lock-order")); err != nil {
		t.Fatal(err)
	}
	unlock()
	again, err := d.Lock(t.Context(), "order")
	if err != nil {
		t.Fatal(err)
	}
	defer again()
	if _, err := d.Lock(endedContext(t), "order"); err == nil {
		t.Error("two hold the lock at once")
	}
}
