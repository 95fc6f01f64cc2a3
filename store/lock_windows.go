package store

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// lockOffset is where in the file the locked byte lies: beyond the text that
// waiters read, because Windows lets nobody else read what is locked.
const lockOffset = 1 << 20

// tryLock takes the lock on f or returns errLocked. Closing f gives it back.
func tryLock(f *os.File) error {
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY,
		0, 1, 0, &windows.Overlapped{Offset: lockOffset})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return errLocked
	}
	return err
}
