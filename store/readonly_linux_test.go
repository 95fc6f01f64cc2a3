package store_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// nobody is the user that root becomes, for files, in this test: to root no
// directory is read only.
const nobody = 65534

func TestStoreThatIsReadOnlyReadsAndSaysWhatIsWrong(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	d := open(t, dir)
	put(t, d, "k")
	want, err := d.Seed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	forbidWriting(t, dir)

	d = open(t, dir)
	if got, err := d.Get(t.Context(), "k"); err != nil || string(got) != "value" {
		t.Errorf("Get: got %q, error %v", got, err)
	}
	if got, err := d.Seed(t.Context()); err != nil || got != want {
		t.Errorf("Seed that is there: got %x, error %v, want %x", got, err, want)
	}
	hint := "the store is read only to this process, user "
	wantError(t, d.Put(t.Context(), "k", nil), dir, `write "k"`, hint)
	wantError(t, d.Delete(t.Context(), "k"), dir, `delete "k"`, hint)
	_, err = d.Lock(t.Context(), "order")
	wantError(t, err, dir, `lock "order"`, hint)
}

func TestFilesThatRootWritesAreTheDirectorysOwners(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a directory away")
	}
	dir := t.TempDir()
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	d := open(t, dir)
	if _, err := d.Seed(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"seed", ".lock-seed"} {
		var stat unix.Stat_t
		if err := unix.Stat(filepath.Join(dir, name), &stat); err != nil || stat.Uid != nobody || stat.Gid != nobody {
			t.Errorf("%s: owner %d:%d, error %v, want %d", name, stat.Uid, stat.Gid, err, nobody)
		}
	}
}

// forbidWriting makes dir read only to the rest of the test, which stays on
// one thread. As root it gives up root's rights to files on that thread alone.
func forbidWriting(t *testing.T, dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		if err := os.Chmod(dir, 0o500); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Chmod(dir, 0o700) })
		return
	}
	for _, path := range []string{dir, filepath.Dir(dir), filepath.Dir(filepath.Dir(dir))} {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"k", "seed"} {
		if err := os.Chown(filepath.Join(dir, name), nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	runtime.LockOSThread()
	setFSUID(t, nobody)
	t.Cleanup(func() {
		setFSUID(t, 0)
		runtime.UnlockOSThread()
	})
}

func setFSUID(t *testing.T, uid uintptr) {
	t.Helper()
	if _, _, errno := unix.RawSyscall(unix.SYS_SETFSUID, uid, 0, 0); errno != 0 {
		t.Fatal(errno)
	}
}
