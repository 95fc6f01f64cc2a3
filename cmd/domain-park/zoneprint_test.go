package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"domainpark/config"
)

// zoneSettings are settings with the zones in dir, which need not be there.
func zoneSettings(t *testing.T, dir string) *config.Settings {
	t.Helper()
	s, err := config.Load("", config.Flags{NameServers: []string{"ns1.park.example"}})
	if err != nil {
		t.Fatal(err)
	}
	s.Zones = dir
	return s
}

// readZoneFiles reads the zones in dir, as a reload does.
func readZoneFiles(t *testing.T, dir string) *zoneDirectory {
	t.Helper()
	_, d, found := answersOf(zoneSettings(t, dir), true, besideAnswer, noSignature)
	if len(found) > 0 {
		t.Fatal(found)
	}
	return d
}

// TestZoneFilesAreRecognised holds what counts as a change: the watch asks after
// everything that happens near the zones, and what says so is read again.
func TestZoneFilesAreRecognised(t *testing.T) {
	for name, c := range map[string]struct {
		change func(t *testing.T, dir string) error
		want   bool
	}{
		"nothing": {func(*testing.T, string) error { return nil }, false},
		"rights":  {func(_ *testing.T, dir string) error { return os.Chmod(filepath.Join(dir, "a.example.zone"), 0o644) }, false},
		"another file beside them": {func(t *testing.T, dir string) error {
			write(t, dir, ".a.example.zone.swp", "x")
			write(t, dir, "README", "x")
			return nil
		}, false},
		"written over": {func(t *testing.T, dir string) error {
			write(t, dir, "a.example.zone", zoneHead+"www A 192.0.2.9\n")
			return nil
		}, true},
		"time alone": {func(_ *testing.T, dir string) error {
			return os.Chtimes(filepath.Join(dir, "a.example.zone"), time.Time{}, time.Unix(1, 0))
		}, true},
		"another file of the same size and time": {func(t *testing.T, dir string) error {
			was, err := os.Stat(filepath.Join(dir, "a.example.zone"))
			if err != nil {
				return err
			}
			other := write(t, dir, "other", zoneHead+"$INCLUDE bits/www\n")
			if err := os.Chtimes(other, was.ModTime(), was.ModTime()); err != nil {
				return err
			}
			return os.Rename(other, filepath.Join(dir, "a.example.zone"))
		}, true},
		"one more": {func(t *testing.T, dir string) error { write(t, dir, "b.example.zone", zoneHead); return nil }, true},
		"one less": {func(_ *testing.T, dir string) error { return os.Remove(filepath.Join(dir, "a.example.zone")) }, true},
		"an included file": {func(t *testing.T, dir string) error {
			write(t, dir, "bits/www", "www A 192.0.2.10\n")
			return nil
		}, true},
		"an included file that is gone": {func(_ *testing.T, dir string) error { return os.Remove(filepath.Join(dir, "bits/www")) }, true},
		"the directory":                 {func(_ *testing.T, dir string) error { return os.Rename(dir, dir+".old") }, true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "zones")
			if err := os.MkdirAll(filepath.Join(dir, "bits"), 0o755); err != nil {
				t.Fatal(err)
			}
			write(t, dir, "a.example.zone", zoneHead+"$INCLUDE bits/www\n")
			write(t, dir, "bits/www", "www A 192.0.2.3\n")
			d := readZoneFiles(t, dir)
			if err := c.change(t, dir); err != nil {
				t.Fatal(err)
			}
			if got := d.changed(); got != c.want {
				t.Errorf("changed: %t, want %t", got, c.want)
			}
		})
	}
}

// What can't be read stays so until something changes: otherwise a failed reload
// would be followed by another one for ever.
func TestZonesThatCantBeReadAreReadOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "zones")
	settings := zoneSettings(t, dir)
	attempt := func() *zoneDirectory {
		_, d, found := answersOf(settings, true, besideAnswer, noSignature)
		if len(found) == 0 {
			t.Fatal("no problem was found")
		}
		return d
	}
	d := attempt()
	if d.changed() {
		t.Error("a directory that is missing, and was: changed")
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if !d.changed() {
		t.Error("a directory that came into being: unchanged")
	}
	write(t, dir, "a.example.zone", zoneHead+"$INCLUDE missing\n")
	if d = attempt(); d.changed() {
		t.Error("a file with a mistake, and with it before: changed")
	}
	write(t, dir, "missing", "www A 192.0.2.3\n")
	if !d.changed() {
		t.Error("an included file that came into being: unchanged")
	}
}
