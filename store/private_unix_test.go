//go:build unix

package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// directory is a directory as os.Stat would tell of it.
type directory struct {
	mode fs.FileMode
	uid  uint32
}

func (directory) Name() string        { return "store" }
func (directory) Size() int64         { return 0 }
func (d directory) Mode() fs.FileMode { return fs.ModeDir | d.mode }
func (directory) ModTime() time.Time  { return time.Time{} }
func (directory) IsDir() bool         { return true }
func (d directory) Sys() any          { return &syscall.Stat_t{Uid: d.uid, Gid: d.uid} }

func TestOnlyOursAndRootsDirectoriesAreTaken(t *testing.T) {
	const us = 1000
	for name, test := range map[string]struct {
		dir  directory
		us   int
		want []string // parts of the error; none when it is taken
		give bool     // whether new files are given to the directory's owner
	}{
		"ours":                        {directory{0o700, us}, us, nil, false},
		"ours, others may look":       {directory{0o755, us}, us, nil, false},
		"root's":                      {directory{0o755, 0}, us, nil, false},
		"root's, for root":            {directory{0o700, 0}, 0, nil, false},
		"ours, for root":              {directory{0o700, us}, 0, nil, true},
		"another's":                   {directory{0o700, 1001}, us, []string{"belongs to user 1001", "runs as user 1000", "chown -R 1000 /s"}, false},
		"ours, the group may write":   {directory{0o770, us}, us, []string{"mode 0770", "chmod 700 /s"}, false},
		"root's, the world may write": {directory{0o757, 0}, us, []string{"mode 0757", "chmod 700 /s"}, false},
		"sticky does not help":        {directory{0o777 | fs.ModeSticky, 0}, us, []string{"mode 0777", "chmod 700 /s"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := checkPrivate("/s", test.dir, test.us)
			if (err != nil) != (test.want != nil) || got.change != test.give {
				t.Fatalf("got %+v, error %v, want give %v, error %q", got, err, test.give, test.want)
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("got error %q, want %q in it", err, part)
				}
			}
		})
	}
}

// TestLinksAreNotFollowed: the service's user must not be able to have root
// read, truncate or give away a file of root's.
func TestLinksAreNotFollowed(t *testing.T) {
	dir := t.TempDir() + "/store"
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	const secret = "not the store's"
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"key", ".lock-name"} {
		if err := os.Symlink(outside, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if value, err := d.Get(t.Context(), "key"); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("Get through a link: %q, %v", value, err)
	}
	if unlock, err := d.Lock(t.Context(), "name"); err == nil {
		unlock()
		t.Error("Lock through a link")
	}
	if text, err := os.ReadFile(outside); err != nil || string(text) != secret {
		t.Errorf("the file outside: %q, %v", text, err)
	}
}
