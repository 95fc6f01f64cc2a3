package main

import (
	"context"
	"io/fs"
	"math"
	"os"
	"path"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The collector lets garbage grow to as much as is in use, which is right for a
// server that is empty: it makes little garbage but for handshakes. With 20,000
// connections open that would be 200 MB for nothing. So the memory limit of Go's
// runtime (GOMEMLIMIT) follows what is in use, a third above it, and never
// goes below where garbage does no harm.
const (
	// calmBytes is what the program may take before garbage matters.
	calmBytes = 192 << 20

	// spareShare of what is in use is left for garbage, at least. Less than a
	// tenth would keep the collector busy with nothing else.
	spareShare = 3

	// ourShare of what there is, in percent: the rest is for what Go's runtime
	// does not count, such as the kernel's buffers of our sockets.
	ourShare = 90

	memoryTick = time.Second
)

// memory sets the limit of Go's runtime.
type memory struct {
	most  int64 // bytes that this process may have
	fixed bool  // GOMEMLIMIT says so: it stays as it is
}

// newMemory finds out how much memory this process may have: what GOMEMLIMIT
// says, else what its cgroup and the machine give. Root is the root directory,
// machine the memory of the machine in bytes.
func newMemory(root fs.FS, machine int64) memory {
	if _, given := os.LookupEnv("GOMEMLIMIT"); given {
		return memory{debug.SetMemoryLimit(-1), true}
	}
	return memory{min(cgroupLimit(root), machine) / 100 * ourShare, false}
}

// run adapts the limit until ctx ends. It begins by giving back what reading
// the settings and making certificates left behind, which the collector would not
// look at before as much again was allocated: hours, on a quiet server. That is 3
// of 28 MB at rest, for 3 ms of one CPU beside the first queries.
func (m memory) run(ctx context.Context) {
	debug.FreeOSMemory()
	if m.fixed {
		return
	}
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(-1))
	tick := time.NewTicker(memoryTick)
	defer tick.Stop()
	for {
		debug.SetMemoryLimit(m.limit(memoryInUse()))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// limit is the limit when so many bytes are in use.
func (m memory) limit(inUse int64) int64 {
	return min(m.most, max(calmBytes, inUse+inUse/spareShare))
}

// memoryInUse is what was in use when garbage was last collected, with the
// stacks and all that the runtime keeps for itself, in bytes.
func memoryInUse() int64 {
	s := []metrics.Sample{
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/gc/heap/live:bytes"},
	}
	metrics.Read(s)
	value := func(i int) int64 { return int64(s[i].Value.Uint64()) }
	other := value(0) - value(1) - value(2) - value(3) - value(4)
	return other + value(5)
}

// cgroupLimit is the lowest memory limit of the process's cgroup and of those
// that it lies in, seen from root, in bytes. It knows both versions of cgroups;
// without either, or without a limit, it is math.MaxInt64.
func cgroupLimit(root fs.FS) int64 {
	text, _ := fs.ReadFile(root, "proc/self/cgroup")
	lowest := int64(math.MaxInt64)
	for line := range strings.Lines(string(text)) {
		// hierarchy:controllers:path; version 2 is 0::path (cgroups(7))
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		switch {
		case fields[0] == "0" && fields[1] == "":
			for _, mount := range []string{"sys/fs/cgroup", "sys/fs/cgroup/unified"} {
				lowest = min(lowest, lowestLimit(root, mount, fields[2], "memory.max", "memory.high"))
			}
		case slices.Contains(strings.Split(fields[1], ","), "memory"):
			lowest = min(lowest, lowestLimit(root, "sys/fs/cgroup/memory", fields[2], "memory.limit_in_bytes"))
		}
	}
	return lowest
}

// lowestLimit reads files at dir below mount and in every directory above it.
// In a container the paths are often the host's, and what is mounted is the
// process's own cgroup: then only the mount's own directory is there.
func lowestLimit(root fs.FS, mount, dir string, files ...string) int64 {
	lowest := int64(math.MaxInt64)
	for dir = path.Clean("/" + dir); ; dir = path.Dir(dir) {
		for _, file := range files {
			text, err := fs.ReadFile(root, path.Join(mount, dir, file))
			if err != nil {
				continue
			}
			// "max" is no number, and no limit.
			if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 {
				lowest = min(lowest, n)
			}
		}
		if dir == "/" {
			return lowest
		}
	}
}
