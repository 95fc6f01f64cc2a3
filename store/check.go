package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Check tells what would keep Open and Seed from working on the directory at
// path, and makes nothing there.
func Check(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("store %s: %w", path, err)
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return creatable(path)
	}
	if err != nil {
		return fmt.Errorf("store %s: %w", path, err)
	}
	owner, err := checkPrivate(path, info, os.Geteuid())
	if err != nil {
		return fmt.Errorf("store %s: %w", path, err)
	}
	d := &Dir{path: path, owner: owner}
	_, err = d.readSeed(context.Background())
	if errors.Is(err, ErrNotFound) {
		if err := writable(path); err != nil {
			return d.writeError("write", seedKey, err)
		}
		return nil
	}
	return err
}

// creatable tells what would keep the directory at path from being made.
func creatable(path string) error {
	for parent := filepath.Dir(path); ; parent = filepath.Dir(parent) {
		info, err := os.Stat(parent)
		if errors.Is(err, fs.ErrNotExist) && parent != filepath.Dir(parent) {
			continue
		}
		if err == nil && !info.IsDir() {
			err = fmt.Errorf("%s is not a directory", parent)
		}
		if err == nil {
			err = writable(parent)
		}
		if err != nil {
			return fmt.Errorf("store %s: can't create the directory: %w", path, err)
		}
		return nil
	}
}
