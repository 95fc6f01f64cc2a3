//go:build unix

package config

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestPipesAreReadAndNotWaitedFor: settings may come from a command, as by
// --config <(COMMAND); a pipe that nobody writes to does not hold up a reload.
func TestPipesAreReadAndNotWaitedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "settings.yaml")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	const want = "settings.yaml is a pipe with nothing in it; expected a settings file"
	if _, err := Load(path, Flags{}); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	// Opened for both, it does not wait for a reader; what is written stays in
	// it as long as anybody has it open, as a shell does.
	w, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	r, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := w.WriteString(twoServers); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if _, err := Load(path, Flags{}); err != nil {
		t.Error(err)
	}
}

// TestPipeOfAnIdleWriterIsNotWaitedForForEver: whoever has a pipe open and says
// nothing more would have kept a reload, and all that come after it, waiting.
func TestPipeOfAnIdleWriterIsNotWaitedForForEver(t *testing.T) {
	defer func(before time.Duration) { pipePatience = before }(pipePatience)
	pipePatience = 20 * time.Millisecond
	path := filepath.Join(t.TempDir(), "settings.yaml")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.WriteString(twoServers); err != nil {
		t.Fatal(err)
	}
	const want = "settings.yaml is a pipe that has not ended within 20ms"
	if _, err := Load(path, Flags{}); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}
