package store

import (
	"errors"
	"fmt"
	"strings"
)

// maxKeyBytes and maxNameBytes bound a key and the file name it becomes. Linux
// and Windows take 255 bytes; the prefix of a lock file has to fit as well.
const (
	maxKeyBytes  = 200
	maxNameBytes = 240
)

// fileName is the file of a key. Letters, digits and the punctuation that host
// names and ACME tokens have stay as they are, so that an operator can read
// the directory; every other byte, and a dot in front, is written %XX. Hence
// a name has no separator and is never "..", and two keys never share one.
func fileName(key string) (string, error) {
	if key == "" {
		return "", errors.New("empty key")
	}
	if len(key) > maxKeyBytes {
		return "", fmt.Errorf("key %.40q…: %d bytes are more than %d", key, len(key), maxKeyBytes)
	}
	var name strings.Builder
	for i := range len(key) {
		c := key[i]
		if plain(c) && (c != '.' || i > 0) {
			name.WriteByte(c)
		} else {
			fmt.Fprintf(&name, "%%%02X", c)
		}
	}
	if name.Len() > maxNameBytes {
		return "", fmt.Errorf("key %.40q…: its file name is longer than %d bytes", key, maxNameBytes)
	}
	return name.String(), nil
}

func plain(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("-_.+@=", c) >= 0
}
