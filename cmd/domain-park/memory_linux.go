package main

import (
	"math"

	"golang.org/x/sys/unix"
)

// machineMemory is that of the machine, in bytes. It asks the kernel and not
// /proc/meminfo, which a service's own /proc may not have (ProcSubset=pid,
// systemd.exec(5)).
func machineMemory() int64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return math.MaxInt64
	}
	return int64(info.Totalram) * int64(info.Unit)
}
