//go:build unix

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// giveStore sees to it that the store can be used by the user that the program
// will become: it makes the directory, or says whose it is. It does nothing
// unless root is to become somebody else.
func (srv *server) giveStore(id *identity) error {
	dir := srv.settings.Store.Directory
	if id == nil || id.uid == 0 || os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if !srv.needsStore() {
			return nil
		}
		if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
			return fmt.Errorf("store.directory: %w", err)
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			return fmt.Errorf("store.directory: %w", err)
		}
		// Not what it may be a link to: where the directory above is another user's,
		// that one can put a link in its place meanwhile.
		return os.Lchown(dir, id.uid, id.gid)
	}
	if err != nil {
		return fmt.Errorf("store.directory: %w", err)
	}
	return id.owns(dir, info)
}

// owns tells whose dir, the store, is when it is not id's.
func (id *identity) owns(dir string, info fs.FileInfo) error {
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && int(owner.Uid) != id.uid {
		return fmt.Errorf("store.directory %s belongs to user %d, and the server becomes %s, who could not write to it; run: chown -R %d:%d %s",
			dir, owner.Uid, id.name, id.uid, id.gid, dir)
	}
	return nil
}

// become gives up being root. What root alone may do can't be done any more: it
// comes after everything that needs it.
func (srv *server) become(id *identity, log *slog.Logger) error {
	switch {
	case os.Geteuid() != 0:
		if id != nil && id.uid != os.Geteuid() {
			log.Warn("user is set and has no effect, because the server was not started as root", "user", id.name)
		}
		return nil
	case id == nil || id.uid == 0:
		return nil // announce warns
	}
	if err := id.assume(); err != nil {
		return err
	}
	log.Info("no longer root", "user", id.name, "uid", id.uid, "gid", id.gid)
	// What was read as root serves; a store that can't be used does not.
	if locked := unreadable(srv.readAgain()); len(locked) > 0 {
		log.Warn("these files were read as root and can't be read any more: a reload will fail, and a certificate that is replaced won't be seen; hint: let the user's group read them",
			"user", id.name, "files", locked)
	}
	return srv.checkStore(id)
}

// assume makes the process id's.
func (id *identity) assume() error {
	// All threads do these; the order is the one in which each is still allowed.
	// With the user goes every capability (capabilities(7)).
	if err := syscall.Setgroups(id.groups); err != nil {
		return fmt.Errorf("user %s: can't take its groups: %w", id.name, err)
	}
	if err := setIDs(id); err != nil {
		return fmt.Errorf("user %s: can't become it: %w", id.name, err)
	}
	if os.Geteuid() != id.uid || os.Getegid() != id.gid || syscall.Setuid(0) == nil {
		return fmt.Errorf("user %s: still root after all", id.name)
	}
	return nil
}

// checkStore tells why id, which the program has become, can't use the store.
func (p *plan) checkStore(id *identity) error {
	if !p.needsStore() {
		return nil
	}
	dir := p.settings.Store.Directory
	if err := unix.Access(dir, unix.R_OK|unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("store.directory %s: %s can't use it: %w; hint: a directory above it may be closed to other users", dir, id.name, err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	if locked := unreadable(files); len(locked) > 0 {
		return fmt.Errorf("store.directory: %s can't read %s; run: chown -R %d:%d %s", id.name, quoted(locked), id.uid, id.gid, dir)
	}
	return nil
}
