//go:build unix

package main

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestNamedPipesAmongZonesAreRefused: opening one would wait for its other end,
// and with it every reload from then on, and the end of the server.
func TestNamedPipesAmongZonesAreRefused(t *testing.T) {
	dir, _ := zoneDir(t, "", map[string]string{"a.example.zone": zoneHead + "$INCLUDE pipe\n"})
	for _, name := range []string{"b.example.zone", "pipe"} {
		if err := syscall.Mkfifo(filepath.Join(dir, "zones", name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	r := execute(t, "check", "--elsewhere", "--config", "settings.yaml")
	if want := "zones/b.example.zone is no file"; r.status != 1 || !strings.Contains(r.stderr, want) {
		t.Errorf("status %d, got\n%s\nwant\n%s", r.status, r.stderr, want)
	}
	if err := syscall.Unlink(filepath.Join(dir, "zones/b.example.zone")); err != nil {
		t.Fatal(err)
	}
	r = execute(t, "check", "--elsewhere", "--config", "settings.yaml")
	if want := "$INCLUDE pipe: zones/pipe is no file"; r.status != 1 || !strings.Contains(r.stderr, want) {
		t.Errorf("status %d, got\n%s\nwant\n%s", r.status, r.stderr, want)
	}
}
