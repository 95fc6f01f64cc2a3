package certs

import (
	"math/rand/v2"
	"time"
)

// install serves i from now on.
func (k *keeper) install(i *issued) {
	s := k.source
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	k.have = i
	k.renewal = renewalOf(i.cert.Leaf)
	if k.foreign(i) {
		k.renewal = now
	}
	if now.Before(k.renewal) {
		k.failures, k.err = 0, nil
	}
	if s.keepers[k.host] == k { // the settings may have dropped the host meanwhile
		s.rebuild()
	}
}

func (k *keeper) countIssued() {
	k.source.mu.Lock()
	defer k.source.mu.Unlock()
	k.issued++
}

func (k *keeper) succeeded() {
	k.source.mu.Lock()
	defer k.source.mu.Unlock()
	k.failures, k.err = 0, nil
}

// forgive forgets failures: somebody has changed something.
func (k *keeper) forgive() {
	s := k.source
	s.mu.Lock()
	defer s.mu.Unlock()
	k.failures = 0
	if k.have != nil && k.foreign(k.have) {
		k.renewal = time.Now()
	}
}

func (k *keeper) setError(err error) {
	k.source.mu.Lock()
	defer k.source.mu.Unlock()
	k.err = err
}

// fail logs a failed attempt and sets when to try again. One line an
// attempt is few: see backoff.
func (k *keeper) fail(err error) {
	s := k.source
	now := time.Now()
	s.mu.Lock()
	k.failures++
	k.failed++
	k.err = err
	pause := backoff(k.failures, err, k.have)
	pause += rand.N(pause/4 + 1)
	k.next = now.Add(pause)
	args := []any{"host", k.host, "error", err, "failures", k.failures, "next", k.next.Round(time.Second)}
	serves := k.have
	s.mu.Unlock()
	switch {
	case serves == nil:
		s.log.Error("certificate order failed: the self-signed one serves on", args...)
	case now.After(serves.cert.Leaf.NotAfter):
		s.log.Error("certificate renewal failed: the one in hand has expired and serves on", append(args, "expired", serves.cert.Leaf.NotAfter)...)
	default:
		s.log.Warn("certificate renewal failed: the one in hand serves on", append(args, "expires", serves.cert.Leaf.NotAfter)...)
	}
}
