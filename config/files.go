package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// maxSettingsBytes bounds the settings file and a profile. Every setting
	// with a comment takes a few thousand bytes; lists have their own files.
	maxSettingsBytes = 4 << 20

	// maxListBytes bounds files that are lists: ten million domains.
	maxListBytes = 256 << 20

	// maxLineBytes bounds a line of any of them: what is longer was never written
	// by a person, and would be taken apart and quoted.
	maxLineBytes = 1 << 20
)

// pipePatience is how long a pipe may take: a command that fetches the settings
// from somewhere has time to try twice. Tests have less.
var pipePatience = 30 * time.Second

// readFile reads at most most bytes of what may be a file of any sort. Its
// errors tell an operator what the matter is. A pipe is read to its end when
// somebody writes to it, as <(COMMAND) in a shell does, for pipePatience at most,
// and else not waited for: a reload would never end.
func readFile(path string, most int64) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", mistake(explain(path, err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", mistake(explain(path, err))
	}
	if info.IsDir() {
		return "", mistake(path + " is a directory")
	}
	var text strings.Builder // it copies nothing when the text is handed out
	text.Grow(int(min(info.Size(), most)))
	_ = f.SetReadDeadline(time.Now().Add(pipePatience)) // files of other sorts have none, and do not wait
	n, err := io.Copy(&text, io.LimitReader(f, most+1))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return "", mistake(fmt.Sprintf("%s is a pipe that has not ended within %v; is its writer still there, and done?", path, pipePatience))
	}
	if err != nil {
		return "", mistake(explain(path, err))
	}
	if n == 0 && info.Mode()&fs.ModeNamedPipe != 0 {
		return "", mistake(path + " is a pipe with nothing in it")
	}
	if n > most {
		return "", mistake(fmt.Sprintf("%s is larger than %d MiB", path, most>>20))
	}
	if line := longLine(text.String()); line > 0 {
		return "", mistake(fmt.Sprintf("%s:%d: a line longer than %d MiB; is this a text of lines?", path, line, maxLineBytes>>20))
	}
	return text.String(), nil
}

// longLine is the number of the first line of text that is too long, 0 for none.
func longLine(text string) (number int) {
	for number = 1; len(text) > maxLineBytes; number++ {
		end := strings.IndexByte(text[:maxLineBytes+1], '\n')
		if end < 0 {
			return number
		}
		text = text[end+1:]
	}
	return 0
}

// readText is readFile for text that messages may quote. A private key, given
// by mistake, must not get into a log.
func readText(path string, most int64) (string, error) {
	text, err := readFile(path, most)
	if err == nil && strings.Contains(text, "-----BEGIN") {
		return "", mistake(path + " is a PEM file, such as a certificate or a key, or has one in it")
	}
	return text, err
}

// explain is why path can't be read, without the name of the function that found out.
func explain(path string, err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return path + ": " + err.Error()
}

// resolve makes a path absolute or relative to where the program runs. In the
// settings file it is relative to that file, wherever the program runs.
func (v value) resolve(path string) string {
	if filepath.IsAbs(path) || v.load.dir == "" || strings.HasPrefix(v.at.File, "-") {
		return path
	}
	return filepath.Join(v.load.dir, path)
}

// file is a file that is read when the settings are; "" is none.
func file(most int64) kind[File] { return orEmpty(readable(most)) }

func readable(most int64) kind[File] {
	const expected = "a file that can be read"
	return kind[File]{expected: expected, read: func(v value) (f File, ok bool) {
		path, ok := v.scalar(expected)
		if !ok {
			return f, false
		}
		if path == "" {
			v.wrong(expected, "")
			return f, false
		}
		path = v.resolve(path)
		text, err := readFile(path, most)
		if err != nil {
			v.wrong(expected, err.Error())
			return f, false
		}
		v.load.names = append(v.load.names, path)
		return File{path, []byte(text)}, true
	}}
}

// path is a file or directory that need not be there yet.
func path() kind[string] {
	const expected = "a path"
	return kind[string]{expected: expected, read: func(v value) (string, bool) {
		path, ok := v.scalar(expected)
		if ok && path == "" {
			v.wrong(expected, "")
			return "", false
		}
		return v.resolve(path), ok
	}}
}

// directory is one that is there; "" is none.
func directory() kind[string] {
	const expected = `a directory, or ""`
	return kind[string]{expected: expected, read: func(v value) (string, bool) {
		path, ok := v.scalar(expected)
		if !ok || path == "" {
			return "", ok
		}
		path = v.resolve(path)
		info, err := os.Stat(path)
		switch {
		case err != nil:
			v.wrong(expected, explain(path, err))
		case !info.IsDir():
			v.wrong(expected, path+" is a file")
		default:
			return path, true
		}
		return "", false
	}}
}

// certificate is an element of "tls.certificates". The files are read by the
// part that watches them; here they must only be readable.
func certificate() kind[Certificate] {
	const expected = "a pair as {certificate: fullchain.pem, key: privkey.pem}"
	pem := readable(maxSettingsBytes)
	return kind[Certificate]{expected: expected, object: true, read: func(v value) (c Certificate, ok bool) {
		read := func(to *string) func(v value) bool {
			return func(v value) bool {
				f, ok := pem.read(v)
				*to = f.Path
				return ok
			}
		}
		ok = readObject(v, expected, []member{
			{"certificate", true, read(&c.Certificate)},
			{"key", true, read(&c.Key)},
		})
		return c, ok
	}}
}
