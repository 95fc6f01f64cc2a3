//go:build unix

package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// noFollow makes an open fail on a symbolic link, and not wait for the other
// end of a pipe.
const noFollow = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

// owner is the user and group that new files are given to. When the program
// runs as root on a directory of the service's user, by hand or before it
// drops its privileges, files of root's would lock the service out later.
type owner struct {
	uid, gid int
	change   bool
}

// give hands f to the owner.
func (o owner) give(f *os.File) error {
	if !o.change {
		return nil
	}
	return f.Chown(o.uid, o.gid)
}

// othersMay tells whether anybody but the owner may read or write a file.
func othersMay(info fs.FileInfo) bool { return info.Mode().Perm()&0o077 != 0 }

// checkPrivate refuses a directory that anybody but us, a user ID, and root
// can write to. Root itself may use anybody's.
func checkPrivate(path string, info fs.FileInfo, us int) (owner, error) {
	if !info.IsDir() {
		return owner{}, errors.New("not a directory")
	}
	if perm := info.Mode().Perm(); perm&0o022 != 0 {
		return owner{}, fmt.Errorf("mode %04o lets others write to it, and so replace keys and certificates; run: chmod 700 %s", perm, path)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return owner{}, nil
	}
	theirs := int(stat.Uid)
	if theirs != us && theirs != 0 && us != 0 {
		return owner{}, fmt.Errorf("it belongs to user %d, who could replace keys and certificates, and this process runs as user %d; run: chown -R %d %s", theirs, us, us, path)
	}
	return owner{uid: theirs, gid: int(stat.Gid), change: us == 0 && theirs != 0}, nil
}

// readOnly tells whether err says that the file system takes no writes.
func readOnly(err error) bool { return errors.Is(err, unix.EROFS) }

// whoami names the user that the process runs as.
func whoami() string { return fmt.Sprintf("user %d", os.Geteuid()) }

// syncDir makes a rename in the directory last.
func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// writable tells why this process can't make files in a directory.
func writable(dir string) error {
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return &fs.PathError{Op: "write to", Path: dir, Err: err}
	}
	return nil
}
