// Package store is where state lives that has to survive a restart or be the
// same on several servers: certificates, the ACME account, and the seed that
// all secrets are derived from.
//
// [Open] gives the store of a single machine, a directory. Another store, for
// a fleet without a common file system, has to do what [Store] says and pass
// the suite in store/storetest. [Keys] derives secrets from the seed.
//
// The package knows nothing of certificates: values are bytes to it.
package store

import (
	"context"

	"golang.org/x/crypto/acme/autocert"
)

// ErrNotFound is what Get returns, unwrapped, for a key that has no value. It
// is autocert's own error, because autocert compares with == and a Store is to
// serve as an [autocert.Cache] without an adapter.
var ErrNotFound = autocert.ErrCacheMiss

// MaxValueBytes is the largest value. A certificate chain with its key has
// some 5 KB; the bound keeps a mistaken file from being read into memory.
const MaxValueBytes = 1 << 20

// SeedBytes is the length of the seed: as much as the strongest key derived from it.
const SeedBytes = 32

// Store keeps small values by key, for one server or for several that share
// it. All methods may be called by any number of goroutines and processes.
//
// Keys are not empty and at most 200 bytes long; any byte may occur in one,
// and no two different keys name the same value. Every method does file or
// network I/O: none belongs on the path of a query.
type Store interface {
	// Get returns the value that the last finished Put gave to key, whole
	// and in memory of the caller's own, or ErrNotFound.
	Get(ctx context.Context, key string) ([]byte, error)

	// Put sets the value of key. When it has returned nil the value is on
	// disk, in the face of a crash too; when it has not, a reader finds the
	// old value or the new one and nothing in between. It does not keep value.
	Put(ctx context.Context, key string, value []byte) error

	// Delete removes key. A key that has no value is no error.
	Delete(ctx context.Context, key string) error

	// Lock waits until nobody else, in any process on any machine, holds
	// the lock called name, or until ctx ends. It is held until unlock is
	// called, which may be done more than once, or until the process is
	// gone: a crashed holder locks nobody out. Names are like keys, in a
	// space of their own. Locks are not reentrant.
	Lock(ctx context.Context, name string) (unlock func(), err error)

	// Seed returns the seed, and makes it from the system's random numbers
	// when there is none. All servers on one store get the same one, however
	// many ask for it first.
	Seed(ctx context.Context) ([SeedBytes]byte, error)
}
