package main

import "syscall"

func setIDs(id *identity) error {
	if err := syscall.Setresgid(id.gid, id.gid, id.gid); err != nil {
		return err
	}
	return syscall.Setresuid(id.uid, id.uid, id.uid)
}
