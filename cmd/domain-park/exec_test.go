package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write what the tests find as what they want")

// asProgram makes the test binary be the program, so that the tests run what
// users run: exit statuses, signals and standard error included.
const asProgram = "DOMAIN_PARK_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// program is the command with args. It is killed when it takes much too long, also
// for hundreds of reloads under the race detector on a busy machine.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	const most = 10 * time.Minute
	ctx, cancel := context.WithTimeout(context.Background(), most)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	// The race detector would let each program sleep for a second at its end.
	race := "GORACE=atexit_sleep_ms=0 " + os.Getenv("GORACE")
	cmd.Env = append(os.Environ(), asProgram+"=1", "COLUMNS=80", race)
	return cmd
}

// result is how a run of the program ended.
type result struct {
	status         int
	stdout, stderr string
}

func execute(t *testing.T, args ...string) result {
	t.Helper()
	cmd := program(t, args...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// running is a server that is ready.
type running struct {
	*exec.Cmd
	t     *testing.T
	lines *bufio.Scanner
	log   strings.Builder
	addr  map[string][]string // by transport
}

var listeningLine = regexp.MustCompile(`msg=listening transport=(\w+) address=(\S+)`)

// start runs a server and waits until it says that it is ready.
func start(t *testing.T, args ...string) *running {
	t.Helper()
	r := launch(t, args...)
	r.awaitReady()
	return r
}

// awaitReady waits until the server says that it is ready, and where.
func (r *running) awaitReady() {
	r.t.Helper()
	r.await("msg=ready")
	for _, m := range listeningLine.FindAllStringSubmatch(r.log.String(), -1) {
		r.addr[m[1]] = append(r.addr[m[1]], m[2])
	}
}

// launch runs the program, which is killed when the test ends.
func launch(t *testing.T, args ...string) *running {
	t.Helper()
	return launchCommand(t, program(t, args...))
}

func launchCommand(t *testing.T, cmd *exec.Cmd) *running {
	t.Helper()
	r := &running{Cmd: cmd, t: t, addr: map[string][]string{}}
	stderr, err := r.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.lines = bufio.NewScanner(stderr)
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Process.Kill()
		r.Wait()
	})
	return r
}

// await reads the log up to a line with text.
func (r *running) await(text string) {
	r.t.Helper()
	for r.lines.Scan() {
		r.log.WriteString(r.lines.Text() + "\n")
		if strings.Contains(r.lines.Text(), text) {
			return
		}
	}
	r.t.Fatalf("the log ended without %q:\n%s", text, r.log.String())
}

// end reads the rest of the log and returns the exit status.
func (r *running) end() int {
	r.t.Helper()
	for r.lines.Scan() {
		r.log.WriteString(r.lines.Text() + "\n")
	}
	r.Wait()
	return r.ProcessState.ExitCode()
}

func (r *running) signal(s os.Signal) {
	r.t.Helper()
	if err := r.Process.Signal(s); err != nil {
		r.t.Fatal(err)
	}
}

// golden compares got with a file under testdata, or writes it there.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; -update writes it", err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
