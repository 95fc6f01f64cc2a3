package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"domainpark/resolver"
)

// zoneSuffix ends the name of a zone's file; what is in front names the zone.
const zoneSuffix = ".zone"

// maxZoneBytes bounds one file: ten million records.
const maxZoneBytes = 1 << 30

// zoneDirectory is the directory of the operator's zones. The nil one has none.
type zoneDirectory struct {
	path string
	root *os.Root // nothing outside can be reached through it, not by ".." and not by links
	seen zonePrint
	bad  bool // it can't be listed
}

// openZones opens the directory path; "" is none. With an error there is a
// directory as well, of which nothing can be read.
func openZones(path string) (*zoneDirectory, error) {
	if path == "" {
		return nil, nil
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return &zoneDirectory{path: path, bad: true}, plain(err, path)
	}
	return &zoneDirectory{path: path, root: root}, nil
}

func (d *zoneDirectory) close() {
	if d != nil && d.root != nil {
		d.root.Close()
	}
}

// read reads the zones, all files called NAME.zone. Names that begin with a
// dot are those of editors.
func (d *zoneDirectory) read(readers int) ([]resolver.Zone, error) {
	if d == nil {
		return nil, nil
	}
	names, err := d.list()
	if err != nil {
		return nil, err
	}
	zones := make([]resolver.Zone, len(names))
	for i, name := range names {
		zones[i] = resolver.Zone{Name: name, Source: resolver.Source{Name: name + zoneSuffix}}
	}
	return zones, d.readAll(zones, readers)
}

// list lists the names of the zones.
func (d *zoneDirectory) list() (names []string, err error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		d.bad = true
		return nil, plain(err, d.path)
	}
	for _, e := range entries {
		name, isZone := strings.CutSuffix(e.Name(), zoneSuffix)
		if isZone && !strings.HasPrefix(name, ".") && !e.IsDir() {
			names = append(names, name)
		}
	}
	return names, nil
}

// zoneReaders is how many files are read at once at the start: enough to keep a
// disk busy. Beside queries there are fewer.
const (
	zoneReaders       = 8
	zoneReadersBeside = 2
)

// readAll fills in the texts. Its error tells every file that can't be read.
func (d *zoneDirectory) readAll(zones []resolver.Zone, readers int) error {
	errs := make([]error, len(zones))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(readers, len(zones)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(zones); i = int(next.Add(1)) - 1 {
				d.noteZone(zones[i].Source.Name)
				zones[i].Source, errs[i] = d.file(zones[i].Source.Name)
				runtime.Gosched() // so that queries do not wait; see the resolver's giveWayEvery
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// include reads the file of an $INCLUDE directive.
func (d *zoneDirectory) include(name string) (resolver.Source, error) {
	file := filepath.FromSlash(name)
	d.noteInclude(file)
	source, err := d.file(file)
	if err != nil && filepath.IsAbs(name) {
		err = fmt.Errorf("expected a path relative to %s, the directory of the zones", d.path)
	}
	return source, err
}

// file reads a file in the directory.
func (d *zoneDirectory) file(name string) (resolver.Source, error) {
	path := filepath.Join(d.path, name)
	f, err := d.root.OpenFile(name, os.O_RDONLY|noWait, 0)
	if err != nil {
		return resolver.Source{}, plain(err, path)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return resolver.Source{}, plain(err, path)
	}
	if !info.Mode().IsRegular() {
		return resolver.Source{}, fmt.Errorf("%s is no file", path)
	}
	if info.Size() > maxZoneBytes {
		return resolver.Source{}, fmt.Errorf("%s is larger than %d MiB", path, maxZoneBytes>>20)
	}
	text := make([]byte, 0, info.Size()+1)
	line := 0 // where the last line begins
	for {
		n, err := f.Read(text[len(text):min(cap(text), len(text)+resolver.MaxLineBytes)])
		text = text[:len(text)+n]
		if end := bytes.LastIndexByte(text[len(text)-n:], '\n'); end >= 0 {
			line = len(text) - n + end + 1
		}
		tooLong := len(text)-line > resolver.MaxLineBytes // which the resolver tells: no more of it is worth memory
		if errors.Is(err, io.EOF) || tooLong {
			return resolver.Source{Name: path, Text: text}, nil
		}
		if err != nil {
			return resolver.Source{}, plain(err, path)
		}
		if len(text) == cap(text) { // it grows
			text = append(text, 0)[:len(text)]
		}
	}
}

// leadsOut is what os.Root says of a name that leads out of it.
const leadsOut = "path escapes from parent"

// plain is err without the name of the function that found out.
func plain(err error, path string) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	if err.Error() == leadsOut {
		return fmt.Errorf("%s leads out of the directory of the zones, by a link or \"..\"; put the file itself there", path)
	}
	return fmt.Errorf("%s: %w", path, err)
}
