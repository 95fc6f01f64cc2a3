package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// The kernel tells that something has changed in a directory; what it was is
// told by zoneDirectory.changed. So the watch does not care how an editor, rsync
// or git put a file in place, and where the kernel tells nothing (a link that
// was swapped further up, a network file system) it is late and not blind.
const (
	// settled is how long files must be left alone before they are read: who
	// changes several does so within less.
	settled = time.Second

	// settledMost bounds that where something else keeps on changing.
	settledMost = 10 * time.Second

	// lookEvery is how often files are looked at that nobody told of: 100,000
	// take a quarter of a second.
	lookEvery = time.Minute
)

// zoneWatch tells when zone files are no longer those that were read.
type zoneWatch struct {
	log     *slog.Logger
	changed chan struct{}  // of one element
	read    chan zonesRead // of one element: what was read last
	current zonesRead      // what is watched; run's alone, which may have to begin anew
}

// zonesRead is a directory of zones, and how long it took to make answers of it.
type zonesRead struct {
	*zoneDirectory
	took time.Duration
}

func newZoneWatch(log *slog.Logger) *zoneWatch {
	return &zoneWatch{log: log, changed: make(chan struct{}, 1), read: make(chan zonesRead, 1)}
}

// follow watches the files of d from now on, nil for none. One goroutine calls
// it, at the start and whenever it has read zones, which took so long: files
// that never rest are not read for more than half of the time.
func (w *zoneWatch) follow(d *zoneDirectory, took time.Duration) {
	select {
	case <-w.read: // nobody has looked at that yet
	default:
	}
	w.read <- zonesRead{d, took}
}

// run watches until ctx ends.
func (w *zoneWatch) run(ctx context.Context) {
	var events chan fsnotify.Event
	var errs chan error
	notify, err := fsnotify.NewWatcher()
	if err == nil {
		defer notify.Close()
		events, errs = notify.Events, notify.Errors
	} else {
		w.blind(err)
	}
	var (
		told  bool      // the reader knows; it will call follow
		first time.Time // of the events that have not been looked at
		look  = time.NewTimer(lookEvery)
	)
	defer look.Stop()
	soon := func() { // look when it has been quiet
		now := time.Now()
		if first.IsZero() {
			first = now
		}
		look.Reset(max(w.current.took, min(settled, first.Add(settledMost).Sub(now))))
	}
	if notify != nil {
		w.arm(notify, w.current.zoneDirectory)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case w.current = <-w.read:
			told = false
			if notify != nil {
				w.arm(notify, w.current.zoneDirectory)
			}
			soon() // for what happened before the kernel was asked
		case e := <-events:
			if w.current.zoneDirectory != nil && w.current.concerns(e) {
				soon()
			}
		case <-errs: // it has lost events
			soon()
		case <-look.C:
			first = time.Time{}
			look.Reset(lookEvery)
			if w.current.zoneDirectory != nil && !told && w.current.changed() {
				told = true
				w.tell()
			}
		}
	}
}

// tell has the zones read anew. It does not wait: follow may have been called
// for a reload by a signal, with what was told before still to be taken, and
// whoever would take it may have ended.
func (w *zoneWatch) tell() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// concerns tells whether an event can mean that zones have changed.
func (d *zoneDirectory) concerns(e fsnotify.Event) bool {
	if e.Op == fsnotify.Chmod {
		return false
	}
	// Of the directory above only our own name matters.
	name := filepath.Clean(e.Name)
	return filepath.Dir(name) != filepath.Dir(d.path) || name == filepath.Clean(d.path)
}

// arm asks the kernel to tell of changes where d was read from, and no longer of
// others. A directory is asked for anew: its name may stand for another one by
// now.
func (w *zoneWatch) arm(notify *fsnotify.Watcher, d *zoneDirectory) {
	for _, dir := range notify.WatchList() {
		_ = notify.Remove(dir) // fails when the directory is gone
	}
	if d == nil {
		return
	}
	for _, dir := range d.watched() {
		// That the directory is gone or closed is known to who tried to read it.
		if err := notify.Add(dir); err != nil && dir == d.path && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			w.blind(err)
		}
	}
}

// blind tells that changes are noticed late.
func (w *zoneWatch) blind(err error) {
	w.log.Warn("zone files can't be watched: changes are noticed within a minute, or at SIGHUP; "+
		"hint: raise fs.inotify.max_user_instances or fs.inotify.max_user_watches", "error", err)
}
