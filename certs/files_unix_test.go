//go:build unix

package certs

import (
	"path/filepath"
	"syscall"
	"testing"
)

func TestNamedPipeDoesNotStopTheWatcher(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	must(t, syscall.Mkfifo(pipe, 0o600))
	_, err := New(Config{Files: []Pair{{pipe, pipe}}})
	wantError(t, err, pipe, "not a regular file")
}
