//go:build unix && !linux

package main

import "syscall"

// setIDs sets the saved IDs as well, because root calls it.
func setIDs(id *identity) error {
	if err := syscall.Setgid(id.gid); err != nil {
		return err
	}
	return syscall.Setuid(id.uid)
}
