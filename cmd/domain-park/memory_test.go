package main

import (
	"context"
	"io/fs"
	"math"
	"runtime/debug"
	"testing"
	"testing/fstest"
)

// tree is a file system with these files.
func tree(files map[string]string) fs.FS {
	t := fstest.MapFS{}
	for name, text := range files {
		t[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return t
}

const mebi = 1 << 20

func TestMemoryIsThatOfTheCgroup(t *testing.T) {
	const machine = 2048 * mebi
	for name, c := range map[string]struct {
		files map[string]string
		want  int64 // MiB, before our share is taken
	}{
		"version 2": {map[string]string{
			"proc/self/cgroup": "0::/system.slice/domain-park.service\n",
			"sys/fs/cgroup/system.slice/domain-park.service/memory.max": "536870912\n",
		}, 512},
		"version 2, without a limit": {map[string]string{
			"proc/self/cgroup": "0::/system.slice/domain-park.service\n",
			"sys/fs/cgroup/system.slice/domain-park.service/memory.max": "max\n",
		}, 2048},
		"version 2, a slice has less": {map[string]string{
			"proc/self/cgroup": "0::/system.slice/domain-park.service\n",
			"sys/fs/cgroup/system.slice/domain-park.service/memory.max": "536870912\n",
			"sys/fs/cgroup/system.slice/memory.max":                     "268435456\n",
		}, 256},
		"version 2, slowed down before the limit": {map[string]string{
			"proc/self/cgroup":                "0::/x\n",
			"sys/fs/cgroup/x/memory.max":      "536870912\n",
			"sys/fs/cgroup/x/memory.high":     "402653184\n",
			"sys/fs/cgroup/other/memory.high": "1048576\n",
		}, 384},
		"version 2, in a container that sees itself as the root": {map[string]string{
			"proc/self/cgroup":         "0::/\n",
			"sys/fs/cgroup/memory.max": "134217728\n",
		}, 128},
		"version 1": {map[string]string{
			"proc/self/cgroup": "9:name=systemd:/\n4:cpu,memory:/a:b\n0::/\n",
			"sys/fs/cgroup/memory/a:b/memory.limit_in_bytes": "536870912\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":     "9223372036854771712\n",
		}, 512},
		"version 1, in a container with the host's paths": {map[string]string{
			"proc/self/cgroup":                           "4:memory:/docker/0123\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "134217728\n",
		}, 128},
		"version 1, without a limit": {map[string]string{
			"proc/self/cgroup":                           "4:memory:/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, 2048},
		"a limit above the machine's memory": {map[string]string{
			"proc/self/cgroup":         "0::/\n",
			"sys/fs/cgroup/memory.max": "1099511627776\n",
		}, 2048},
		"nonsense": {map[string]string{
			"proc/self/cgroup":         "\n0::\nx:y\n0::/../..\n",
			"sys/fs/cgroup/memory.max": "-1\n",
		}, 2048},
		"no cgroups": {nil, 2048},
	} {
		if got, want := newMemory(tree(c.files), machine), c.want*mebi/100*ourShare; got.most != want || got.fixed {
			t.Errorf("%s: %+v, want %d bytes", name, got, want)
		}
	}
	if got := newMemory(tree(nil), math.MaxInt64); got.most < math.MaxInt64/2 {
		t.Errorf("of a machine that tells nothing: %+v", got)
	}
}

func TestGOMEMLIMITIsHonoured(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "100MiB")
	const given = 100 * mebi // the runtime read the variable when the test began
	before := debug.SetMemoryLimit(given)
	defer debug.SetMemoryLimit(before)
	m := newMemory(tree(map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1000\n"}), 2048*mebi)
	if m.most != given {
		t.Errorf("%+v, want %d bytes", m, given)
	}
	m.run(context.Background()) // returns
	if got := debug.SetMemoryLimit(-1); got != given {
		t.Errorf("the limit is %d, want %d", got, given)
	}
}

func TestMemoryLimitFollowsWhatIsInUse(t *testing.T) {
	for _, c := range []struct{ most, inUse, want int64 }{
		{math.MaxInt64, 20 * mebi, calmBytes},
		{math.MaxInt64, 300 * mebi, 400 * mebi},
		{math.MaxInt64, math.MaxInt64 / 2, math.MaxInt64 / 2 / 3 * 4},
		{350 * mebi, 300 * mebi, 350 * mebi},
		{100 * mebi, 20 * mebi, 100 * mebi},
	} {
		if got := (memory{most: c.most}).limit(c.inUse); got/mebi != c.want/mebi {
			t.Errorf("%d MiB of %d in use: limit %d MiB, want %d", c.inUse/mebi, c.most/mebi, got/mebi, c.want/mebi)
		}
	}
}

// TestMemoryInUseIsCounted: what the runtime says of itself adds up to more
// than a buffer that is held, and to less than twice what it has.
func TestMemoryInUseIsCounted(t *testing.T) {
	held := make([]byte, 64*mebi)
	debug.FreeOSMemory()
	if got := memoryInUse(); got < 64*mebi || got > 256*mebi {
		t.Errorf("%d MiB in use", got/mebi)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	before := debug.SetMemoryLimit(-1)
	memory{most: math.MaxInt64}.run(ctx)
	if after := debug.SetMemoryLimit(-1); after != before {
		t.Errorf("the limit is %d when all has ended, was %d", after, before)
	}
	held[0] = 1
}

func TestConnectionsAreNoMoreThanCanBeHad(t *testing.T) {
	for _, c := range []struct {
		total       int
		descriptors uint64
		memory      int64
		want        int
	}{
		{20000, math.MaxUint64, math.MaxInt64, 20000},
		{20000, 20000, math.MaxInt64, 20000 - keptDescriptors},
		{20000, 1024, math.MaxInt64, 768},
		{500, 1024, math.MaxInt64, 500},
		{20000, 341, math.MaxInt64, 85},
		{20000, 80, math.MaxInt64, 20},
		{50, 80, 0, 20},
		{50, 3, 0, 1},
		{50, 1024, 0, 50},
		{20000, 524288, 512 * mebi, 6826},
		{20000, 524288, 2048 * mebi, 20000},
		{20000, 524288, 64 * mebi, fewestConnections},
	} {
		if got := affordable(c.total, c.descriptors, c.memory); got != c.want {
			t.Errorf("%+v: got %d", c, got)
		}
	}
	if n := descriptorLimit(); n < 64 {
		t.Errorf("%d descriptors", n)
	}
}
