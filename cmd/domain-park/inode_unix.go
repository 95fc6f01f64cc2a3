//go:build unix

package main

import (
	"io/fs"
	"syscall"
)

// noWait makes opening a named pipe not wait for its other end.
const noWait = syscall.O_NONBLOCK

// inode is the number of a file on its file system.
func inode(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Ino)
	}
	return 0
}
