package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/acme/autocert"
)

// Files in the directory that are not values begin with a dot, which the file
// of a value never does (see fileName).
const (
	tempPrefix = ".tmp-"
	lockPrefix = ".lock-"
)

// leftoverAge is how old a temporary file has to be to count as a crashed
// writer's. Writing takes milliseconds; an hour allows for a suspended machine
// and for clocks that disagree on a network file system.
const leftoverAge = time.Hour

// Dir is a Store in a directory of one file a key. Several processes may use
// one directory, over NFS too as long as it has locks (version 4 does).
//
// A value is written to a temporary file, synced, and renamed over the old
// one, and the directory is synced: a crash leaves the old value or the new
// one. Locks are the kernel's (flock), so that there are no stale ones: with
// the process goes its lock. The lock files stay, because removing one that
// another process has just opened would let two of them in.
type Dir struct {
	path  string
	owner owner // who new files are given to
	done  tally
}

var (
	_ Store          = (*Dir)(nil)
	_ autocert.Cache = (*Dir)(nil)
)

// Open opens the store in the directory at path and creates the directory when
// it is missing. It refuses one that others could write to: who can write
// there can hand the server a key of their choosing. A directory that this
// process can't write to is accepted; its values can be read, and Put says
// what is wrong.
func Open(path string) (*Dir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", path, err)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("store %s: can't create the directory: %w", path, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", path, err)
	}
	owner, err := checkPrivate(path, info, os.Geteuid())
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", path, err)
	}
	d := &Dir{path: path, owner: owner}
	d.tidy(time.Now())
	return d, nil
}

// Path is the directory, absolute.
func (d *Dir) Path() string { return d.path }

// tidy removes what crashed writers left behind and takes the permissions of
// others from files that were copied in. It does what it can: in a directory
// that is read only to us there is nothing to tidy.
func (d *Dir) tidy(now time.Time) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		file := filepath.Join(d.path, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), tempPrefix):
			if now.Sub(info.ModTime()) > leftoverAge {
				os.Remove(file)
			}
		case othersMay(info):
			if f, err := openRegular(file); err == nil {
				f.Chmod(0o600)
				f.Close()
			}
		}
	}
}

// Get implements Store.
func (d *Dir) Get(ctx context.Context, key string) (value []byte, err error) {
	defer func() { d.done.add(Read, err) }()
	file, err := d.file(ctx, key)
	if err != nil {
		return nil, err
	}
	value, err = readBounded(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("store %s: read %q: %w", d.path, key, err)
	}
	return value, nil
}

// readBounded reads a regular file. Anything else, a named pipe say, could
// keep the reader waiting for ever; and when root works in the directory of a
// service's user, that user must not be able to point it at a file of root's.
func readBounded(file string) ([]byte, error) {
	f, err := openRegular(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	value, err := io.ReadAll(io.LimitReader(f, MaxValueBytes+1))
	if err == nil && len(value) > MaxValueBytes {
		err = fmt.Errorf("larger than %d bytes", MaxValueBytes)
	}
	return value, err
}

// openRegular opens file for reading, unless it is a link or no regular file.
func openRegular(file string) (*os.File, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|noFollow, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Put implements Store.
func (d *Dir) Put(ctx context.Context, key string, value []byte) (err error) {
	defer func() { d.done.add(Write, err) }()
	file, err := d.file(ctx, key)
	if err != nil {
		return err
	}
	if len(value) > MaxValueBytes {
		return fmt.Errorf("store %s: write %q: %d bytes are more than the %d a value may have", d.path, key, len(value), MaxValueBytes)
	}
	temp, err := d.writeTemp(value)
	if err != nil {
		return d.writeError("write", key, err)
	}
	if err := os.Rename(temp, file); err != nil {
		os.Remove(temp)
		return d.writeError("write", key, err)
	}
	if err := syncDir(d.path); err != nil {
		return d.writeError("sync", key, err)
	}
	return nil
}

// writeTemp writes value to a new file, mode 0600, and syncs it. The caller
// renames or removes it.
func (d *Dir) writeTemp(value []byte) (file string, err error) {
	f, err := os.CreateTemp(d.path, tempPrefix)
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(value)
	if err == nil {
		err = d.owner.give(f)
	}
	if err == nil {
		err = f.Sync()
	}
	return f.Name(), errors.Join(err, f.Close())
}

// Delete implements Store.
func (d *Dir) Delete(ctx context.Context, key string) (err error) {
	defer func() { d.done.add(Remove, err) }()
	file, err := d.file(ctx, key)
	if err != nil {
		return err
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return d.writeError("delete", key, err)
	}
	return nil
}

// writeError tells an operator what to do about a store that can be read only.
func (d *Dir) writeError(verb, key string, err error) error {
	err = fmt.Errorf("store %s: %s %q: %w", d.path, verb, key, err)
	if errors.Is(err, fs.ErrPermission) || readOnly(err) {
		err = fmt.Errorf("%w; the store is read only to this process, %s: give it the directory, or set store.directory to one it may write to", err, whoami())
	}
	return err
}

// file is the path of a key's file.
func (d *Dir) file(ctx context.Context, key string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	name, err := fileName(key)
	if err != nil {
		return "", fmt.Errorf("store %s: %w", d.path, err)
	}
	return filepath.Join(d.path, name), nil
}
