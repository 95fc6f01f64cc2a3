package certs

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// maxFileBytes bounds what is read of a PEM file, 1 MiB: a chain has some 10 KB.
const maxFileBytes = 1 << 20

// remindInterval is how often the log tells of a certificate from a file that
// is about to expire or has; remindBefore is when that begins. Whatever
// renews the files should have done so by then.
const (
	remindInterval = 24 * time.Hour
	remindBefore   = 14 * 24 * time.Hour
)

// pair is a file pair with the certificate that is served of it.
type pair struct {
	Pair

	// Reading these takes Source.mu or Source.looking, writing takes both.
	cert *tls.Certificate // the last good one, never nil
	err  error            // why the files are not served now; nil when they are

	// These belong to who holds Source.looking.
	loaded [sha256.Size]byte // of the content that cert was made of
	broken [sha256.Size]byte // of the content that could not be used when last looked
	told   bool              // the log knows of broken
}

// content is what the two files of a pair hold at one moment.
type content struct{ certificate, key []byte }

func (c content) sum() [sha256.Size]byte {
	length := binary.BigEndian.AppendUint64(nil, uint64(len(c.certificate)))
	return sha256.Sum256(append(append(length, c.certificate...), c.key...))
}

func (p Pair) read() (c content, err error) {
	c.certificate, err = readFile(p.Certificate)
	key, keyErr := readFile(p.Key)
	c.key = key
	return c, errors.Join(err, keyErr)
}

// readFile reads a regular file. Anything else, a named pipe say, could keep
// the watcher waiting for ever.
func readFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFileBytes))
}

// parse makes a certificate of a pair's content. The error says which file is
// wrong and, where it can be known, what to do.
func (p Pair) parse(c content) (*tls.Certificate, error) {
	cert, err := tls.X509KeyPair(c.certificate, c.key)
	if err == nil {
		return &cert, nil
	}
	hint := ""
	if strings.Contains(err.Error(), "does not match") {
		hint = "; hint: the key belongs to another certificate, or the file does not begin with the server's own"
	}
	return nil, fmt.Errorf("certificate %s with key %s: %w%s", p.Certificate, p.Key, err, hint)
}

// untimely says why a certificate can't be verified at this time; nil when it can.
func untimely(cert *tls.Certificate, now time.Time) error {
	switch leaf := cert.Leaf; {
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("not valid before %s; hint: is this machine's clock right?", leaf.NotBefore.UTC().Format(time.RFC3339))
	case now.After(leaf.NotAfter):
		return fmt.Errorf("expired at %s", leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}

// loadPairs returns the pairs of the settings. Those that are served already
// stay as they are when they can't be read; the others, fresh, have to be good.
// The caller holds looking.
func (s *Source) loadPairs(files []Pair, now time.Time) (pairs, fresh []*pair, err error) {
	var errs []error
	for i, file := range files {
		p := s.pairOf(file)
		if p == nil {
			if p, err = openPair(file); err != nil {
				errs = append(errs, fmt.Errorf("tls.certificates[%d]: %w", i, err))
				continue
			}
			fresh = append(fresh, p)
		} else {
			s.look(p, now)
		}
		pairs = append(pairs, p)
	}
	return pairs, fresh, errors.Join(errs...)
}

// pairOf returns the pair in use with these files, or nil.
func (s *Source) pairOf(file Pair) *pair {
	for _, p := range s.pairs {
		if p.Pair == file {
			return p
		}
	}
	return nil
}

// openPair reads a pair for the first time. One that has expired is taken: it
// is better than none, and the log says so.
func openPair(file Pair) (*pair, error) {
	c, err := file.read()
	if err != nil {
		return nil, err
	}
	cert, err := file.parse(c)
	if err != nil {
		return nil, err
	}
	return &pair{Pair: file, cert: cert, loaded: c.sum()}, nil
}

// lookAtFiles reads all pairs and serves what has changed.
func (s *Source) lookAtFiles(now time.Time) {
	s.looking.Lock()
	defer s.looking.Unlock()
	for _, p := range s.pairs {
		s.look(p, now)
	}
}

// look reads a pair and serves what has changed. The caller holds looking.
func (s *Source) look(p *pair, now time.Time) {
	c, err := p.read()
	sum := c.sum()
	if err == nil && sum == p.loaded {
		p.broken, p.told = sum, false
		s.setPair(p, p.cert, nil)
		return
	}
	var cert *tls.Certificate
	if err == nil {
		cert, err = p.parse(c)
	}
	if err == nil {
		// A replacement that clients can't verify is no improvement on a
		// certificate that they can.
		if err = untimely(cert, now); err != nil && untimely(p.cert, now) != nil {
			err = nil
		}
	}
	if err != nil {
		s.tellBroken(p, sum, err)
		return
	}
	s.setPair(p, cert, nil)
	p.loaded, p.broken, p.told = sum, sum, false
	s.tellLoaded(p, now)
	s.changed()
}

// setPair sets what Status tells of a pair and, when it is new, serves cert.
func (s *Source) setPair(p *pair, cert *tls.Certificate, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.err = err
	if p.cert != cert {
		p.cert = cert
		s.rebuild()
	}
}

// tellBroken logs once why a pair's new content is not served. It waits until
// the same content is seen a second time: who replaces two files one after the
// other leaves a pair that does not match for a moment.
func (s *Source) tellBroken(p *pair, sum [sha256.Size]byte, err error) {
	if sum != p.broken {
		p.broken, p.told = sum, false
		return
	}
	if p.told {
		return
	}
	p.told = true
	s.setPair(p, p.cert, err)
	s.log.Error("certificate files changed but can't be used; the certificate in hand stays",
		"certificate", p.Certificate, "key", p.Key, "error", err, "expires", p.cert.Leaf.NotAfter)
	s.changed()
}

// tellLoaded logs that a pair is served.
func (s *Source) tellLoaded(p *pair, now time.Time) {
	leaf := p.cert.Leaf
	s.log.Info("certificate loaded", "certificate", p.Certificate, "names", leaf.DNSNames, "expires", leaf.NotAfter)
	s.remindOf(p, now)
}

// remind logs which certificates from files are about to expire.
func (s *Source) remind(now time.Time) {
	s.looking.Lock()
	defer s.looking.Unlock()
	for _, p := range s.pairs {
		s.remindOf(p, now)
	}
}

func (s *Source) remindOf(p *pair, now time.Time) {
	if err := untimely(p.cert, now); err != nil {
		s.log.Error("certificate is served although clients can't verify it: replace the files",
			"certificate", p.Certificate, "error", err)
	} else if left := p.cert.Leaf.NotAfter.Sub(now); left < remindBefore {
		s.log.Warn("certificate expires soon: does its renewal work?",
			"certificate", p.Certificate, "expires", p.cert.Leaf.NotAfter, "days", int(left.Hours()/24))
	}
}
