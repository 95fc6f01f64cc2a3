package main

import (
	"encoding/binary"
	"hash/maphash"
	"maps"
	"path/filepath"
	"slices"
	"sync"
)

// zonePrint tells whether files are those that were read, without reading them
// again: by name, size, time and inode of each, so that a file which another
// one was moved over counts as changed. It is safe for concurrent use.
type zonePrint struct {
	mu       sync.Mutex
	sum      uint64              // of all stamps, in whatever order they came
	included map[string]struct{} // files that $INCLUDE directives name, missing ones too
}

// noteZone takes the zone file name into account. It is called before the file
// is read, so that a change meanwhile is seen later.
func (d *zoneDirectory) noteZone(name string) {
	stamp := d.stamp(name)
	d.seen.mu.Lock()
	defer d.seen.mu.Unlock()
	d.seen.sum += stamp
}

// noteInclude does the same with a file that many zones may include.
func (d *zoneDirectory) noteInclude(name string) {
	stamp := d.stamp(name)
	d.seen.mu.Lock()
	defer d.seen.mu.Unlock()
	if _, known := d.seen.included[name]; known {
		return
	}
	if d.seen.included == nil {
		d.seen.included = map[string]struct{}{}
	}
	d.seen.included[name] = struct{}{}
	d.seen.sum += stamp
}

var stampSeed = maphash.MakeSeed()

// stamp is what a file is recognised by. One that is missing has a stamp as well.
func (d *zoneDirectory) stamp(name string) uint64 {
	b := append(make([]byte, 0, 256), name...)
	if info, err := d.root.Stat(name); err == nil {
		b = binary.BigEndian.AppendUint64(b, uint64(info.Size()))
		b = binary.BigEndian.AppendUint64(b, uint64(info.ModTime().UnixNano()))
		b = binary.BigEndian.AppendUint64(b, inode(info))
	}
	return maphash.Bytes(stampSeed, b)
}

// changed tells whether the files in the directory are others than those that
// were read from it. It opens the directory anew: it may be another one by now.
func (d *zoneDirectory) changed() bool {
	now, err := openZones(d.path)
	if err != nil {
		return !d.bad
	}
	defer now.close()
	names, err := now.list()
	if err != nil || d.bad {
		return now.bad != d.bad
	}
	for _, name := range names {
		now.noteZone(name + zoneSuffix)
	}
	for name := range d.seen.included {
		now.noteInclude(name)
	}
	return now.seen.sum != d.seen.sum
}

// watched lists the directories that files were read from: its own, that which
// it lies in, where it may be replaced, and those of included files.
func (d *zoneDirectory) watched() []string {
	dirs := map[string]struct{}{d.path: {}, filepath.Dir(d.path): {}}
	for name := range d.seen.included {
		if filepath.IsLocal(name) {
			dirs[filepath.Join(d.path, filepath.Dir(name))] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(dirs))
}
