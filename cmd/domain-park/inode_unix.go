//go:build unix

package main

import (
	"io/fs"
	"syscall"
)

// inode is the number of a file on its file system.
func inode(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Ino)
	}
	return 0
}
