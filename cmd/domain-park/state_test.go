package main

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"domainpark/config"
)

// The default directory is a convenience: whatever is wrong with it, the
// server runs. One that was asked for must work.
func TestDefaultStoreNeverStopsTheServer(t *testing.T) {
	file := write(t, t.TempDir(), "domain-park", "a file where the directory should be")
	damaged := t.TempDir()
	write(t, damaged, "seed", "too short")
	for name, directory := range map[string]string{
		"a file": file, "a damaged seed": damaged, "below a file": filepath.Join(file, "x"),
	} {
		var log strings.Builder
		srv := &server{plan: plan{settings: &config.Settings{Store: config.Store{Directory: directory}}}}
		dir, _, err := srv.openStore(slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil || dir != nil {
			t.Errorf("%s: got %v, %v", name, dir, err)
		}
		if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "level=INFO") || !strings.Contains(log.String(), "reason=") {
			t.Errorf("%s: the log is\n%s", name, log.String())
		}
		srv.settings.TLS.ACME.Hosts = []string{"ns1.park.example"}
		if _, _, err := srv.openStore(slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%s: no error, though certificates have to be kept", name)
		}
	}
}
