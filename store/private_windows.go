package store

import (
	"errors"
	"io/fs"
	"os"
	"os/user"
)

// noFollow has no counterpart here: making links takes a right of its own.
const noFollow = 0

// Windows has no mode bits: the directory inherits the access list of the one
// it lies in, and who may write there is the administrator's to say.

type owner struct{}

func (owner) give(*os.File) error { return nil }

func othersMay(fs.FileInfo) bool { return false }

func checkPrivate(_ string, info fs.FileInfo, _ int) (owner, error) {
	if !info.IsDir() {
		return owner{}, errors.New("not a directory")
	}
	return owner{}, nil
}

func readOnly(error) bool { return false }

func whoami() string {
	if u, err := user.Current(); err == nil {
		return "user " + u.Username
	}
	return "its user"
}

// syncDir does nothing: a directory can't be opened for it, and NTFS journals renames.
func syncDir(string) error { return nil }

// writable is not known before it is tried: access lists say it here.
func writable(string) error { return nil }
