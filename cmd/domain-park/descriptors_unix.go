//go:build unix

package main

import "syscall"

// descriptorLimit is how many files and sockets this process may have open. Go
// raised it at the start as far as it may.
func descriptorLimit() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1024 // what a process has had for decades
	}
	return uint64(limit.Cur)
}
