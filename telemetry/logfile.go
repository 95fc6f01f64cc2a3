package telemetry

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

const (
	// fileBytes is how much is written at once: few system calls, and not
	// much to lose when the machine stops.
	fileBytes = 64 << 10

	// complainEvery bounds log lines about a file that can't be written.
	complainEvery = time.Minute

	// logMode keeps clients' addresses from other users.
	logMode = 0o640
)

// logFile is a file that lines are appended to, for one goroutine. Whoever
// rotates logs may move it away or remove it: it is begun anew.
type logFile struct {
	path       string
	log        *slog.Logger
	file       *os.File // nil: it can't be opened at present
	torn       bool     // the last write ended within a line
	lost       int      // writes that failed since the last complaint, and were not told
	complained time.Time
	failing    bool // the log has a complaint, and not yet that it is over
}

func openLogFile(path string, log *slog.Logger) (*logFile, error) {
	f := &logFile{path: path, log: log}
	if err := f.open(); err != nil {
		return nil, err
	}
	return f, nil
}

// CheckQueryLog tells what would keep OpenQueryLog from working, and makes
// nothing.
func CheckQueryLog(path string) error {
	if err := noPipe(path); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		return file.Close()
	}
	if errors.Is(err, fs.ErrNotExist) {
		if err = writable(filepath.Dir(path)); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%s: %w", path, reason(err))
}

// noPipe refuses a pipe: opening it would wait for its reader.
func noPipe(path string) error {
	if info, err := os.Stat(path); err == nil && info.Mode()&fs.ModeNamedPipe != 0 {
		return fmt.Errorf("%s is a pipe, expected a file", path)
	}
	return nil
}

func (f *logFile) open() error {
	if err := noPipe(f.path); err != nil {
		return err
	}
	file, err := os.OpenFile(f.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, logMode)
	if err != nil {
		return fmt.Errorf("%s: %w", f.path, reason(err))
	}
	f.file = file
	return nil
}

// follow opens the file anew when path is not, or no longer, the one that is open.
func (f *logFile) follow(now time.Time) {
	if f.file != nil {
		have, err := f.file.Stat()
		there, missing := os.Stat(f.path)
		if err == nil && missing == nil && os.SameFile(have, there) {
			return
		}
		f.close()
		f.torn = false
	}
	if err := f.open(); err != nil {
		if errors.Is(err, fs.ErrPermission) { // it could be opened at the start
			err = fmt.Errorf("%w; hint: %s", err, madeAnew)
		}
		f.complain(err, now)
	}
}

// madeAnew is what most often keeps a server from a file that it had open.
const madeAnew = "if its directory was removed and made anew, restart the server: the sandbox lets it into the old one alone"

// write appends lines, and tells whether all of them are in the file.
func (f *logFile) write(lines []byte, now time.Time) bool {
	if len(lines) == 0 {
		return true
	}
	if f.file == nil {
		f.lost++
		return false
	}
	if f.torn {
		lines = append([]byte("\n"), lines...)
	}
	n, err := f.file.Write(lines)
	if err == nil {
		f.torn = false
		f.recovered()
		return true
	}
	if n > 0 {
		f.torn = lines[n-1] != '\n'
	}
	f.lost++
	f.complain(fmt.Errorf("%s: %w", f.path, reason(err)), now)
	return false
}

// complain logs what is wrong, once a period.
func (f *logFile) complain(err error, now time.Time) {
	if now.Sub(f.complained) < complainEvery {
		return
	}
	f.log.Error("the query log can't be written: lines are lost, queries are answered", "error", err, "writes", f.lost)
	f.complained, f.lost, f.failing = now, 0, true
}

// recovered logs that a complaint is over: one line for each of those.
func (f *logFile) recovered() {
	if f.failing {
		f.log.Info("the query log is written again", "file", f.path, "writes", f.lost)
		f.failing, f.lost = false, 0
	}
}

func (f *logFile) close() {
	if f.file != nil {
		if err := f.file.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
			f.log.Error("the query log may be incomplete", "error", err)
		}
		f.file = nil
	}
}
