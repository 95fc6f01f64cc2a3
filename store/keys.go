package store

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"time"
)

// KeyBytes is the length of a derived key. Who needs fewer takes the first ones.
const KeyBytes = 32

// Keys derives secrets from a seed by HKDF (RFC 5869) with SHA-256. Two
// servers with the same seed and nearly the same time have the same keys and
// need not talk to each other. The zero value is not to be used: anybody can
// derive its keys. A Keys is immutable.
//
// What the date brings is that a key which leaks does no harm for long. It
// does not bring forward secrecy: who gets the seed has every key of the past
// and the future.
type Keys struct{ seed [SeedBytes]byte }

// NewKeys returns the keys of a seed.
func NewKeys(seed [SeedBytes]byte) Keys { return Keys{seed} }

// RandomKeys returns keys that nobody else has and that end with the process,
// for a server without a store.
func RandomKeys() Keys {
	var k Keys
	rand.Read(k.seed[:])
	return k
}

// Rolling is one key in three generations. What is made now is made with
// Current; Previous and Next are accepted too. Next is there for a server of
// the fleet whose clock runs ahead.
type Rolling struct{ Current, Previous, Next [KeyBytes]byte }

// Rolling returns the key called name at time now, when it changes once a
// period. Periods are counted from the Unix epoch, so a day changes at
// midnight UTC; period is at least a second.
func (k Keys) Rolling(name string, period time.Duration, now time.Time) Rolling {
	start := periodStart(period, now)
	return Rolling{
		Current:  k.derive(name, period, start),
		Previous: k.derive(name, period, start.Add(-period)),
		Next:     k.derive(name, period, start.Add(period)),
	}
}

// Fixed returns the key called name, which never changes.
func (k Keys) Fixed(name string) [KeyBytes]byte { return k.key(name + " fixed") }

// NextPeriod is when the Rolling of a period changes next, after now.
func NextPeriod(period time.Duration, now time.Time) time.Time {
	return periodStart(period, now).Add(period)
}

func periodStart(period time.Duration, now time.Time) time.Time {
	seconds := int64(period / time.Second)
	start := now.Unix() - now.Unix()%seconds
	return time.Unix(start, 0).UTC()
}

func (k Keys) derive(name string, period time.Duration, start time.Time) [KeyBytes]byte {
	return k.key(fmt.Sprintf("%s every %s at %s", name, period, start.Format(time.RFC3339)))
}

// key ties a key to this program and to what it is for.
func (k Keys) key(purpose string) [KeyBytes]byte {
	raw, err := hkdf.Key(sha256.New, k.seed[:], nil, "domain-park 1: "+purpose, KeyBytes)
	if err != nil {
		panic("store: BUG: hkdf: " + err.Error()) // it fails for lengths above 8160 bytes alone
	}
	return [KeyBytes]byte(raw)
}
