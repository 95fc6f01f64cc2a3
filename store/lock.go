package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// How long a waiter lets pass between two attempts at a lock. flock can't wait
// and give up at once, so a waiter asks again; what is locked here takes
// seconds (an ACME order), so asking four times a second wastes nothing.
const (
	firstLockPause   = 5 * time.Millisecond
	longestLockPause = 250 * time.Millisecond
)

// errLocked is what tryLock returns while somebody else holds the lock.
var errLocked = errors.New("locked")

// Lock implements Store. It tries once more after ctx has ended, so that a
// lock which nobody holds is always got.
func (d *Dir) Lock(ctx context.Context, name string) (unlock func(), err error) {
	defer func() { d.done.add(Lock, err) }()
	base, err := fileName(name)
	if err != nil {
		return nil, fmt.Errorf("store %s: lock: %w", d.path, err)
	}
	file := filepath.Join(d.path, lockPrefix+base)
	for pause := firstLockPause; ; pause = min(2*pause, longestLockPause) {
		f, err := d.lockFile(file)
		if err == nil {
			return sync.OnceFunc(func() { f.Close() }), nil
		}
		if !errors.Is(err, errLocked) {
			return nil, d.writeError("lock", name, err)
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("store %s: lock %q: still held by %s: %w", d.path, name, holder(file), ctx.Err())
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
		case <-timer.C:
		}
	}
}

// lockFile makes one attempt. The lock is held while the file is open.
func (d *Dir) lockFile(file string) (*os.File, error) {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE|noFollow, 0o600)
	if err != nil {
		return nil, err
	}
	if err := d.holdLock(f, file); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// holdLock locks f and writes into it who holds it, for people who wait. Of the
// text nothing depends: on a full disk the lock is held without it, so that a
// certificate can be renewed that is then kept in memory.
func (d *Dir) holdLock(f *os.File, file string) error {
	if err := tryLock(f); err != nil {
		return err
	}
	// Somebody may have removed the file after we opened it: then others
	// lock a new one of that name, and ours protects nothing.
	ours, err := f.Stat()
	if err != nil {
		return err
	}
	if there, err := os.Lstat(file); err != nil || !os.SameFile(ours, there) {
		return errLocked
	}
	if err := d.owner.give(f); err != nil {
		return err
	}
	host, _ := os.Hostname()
	if f.Truncate(0) == nil {
		_, _ = fmt.Fprintf(f, "process %d on %s since %s\n", os.Getpid(), host, time.Now().UTC().Format(time.RFC3339))
	}
	return nil
}

// holder says who holds a lock, as far as the file tells.
func holder(file string) string {
	text, err := readBounded(file)
	if who := strings.TrimSpace(string(text)); err == nil && who != "" {
		return who
	}
	return "another process"
}
