package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// seedKey is the value that the seed is kept in, as 64 hex digits and a
// newline, so that it can be copied to the other servers of a fleet by hand or
// by a configuration tool.
const seedKey = "seed"

// Seed implements Store. It makes the seed under a lock, looking once more
// after it has got that: whoever comes second finds the first one's.
func (d *Dir) Seed(ctx context.Context) ([SeedBytes]byte, error) {
	seed, err := d.readSeed(ctx)
	if !errors.Is(err, ErrNotFound) {
		return seed, err
	}
	unlock, err := d.Lock(ctx, seedKey)
	if err != nil {
		return seed, err
	}
	defer unlock()
	if seed, err = d.readSeed(ctx); !errors.Is(err, ErrNotFound) {
		return seed, err
	}
	rand.Read(seed[:])
	return seed, d.Put(ctx, seedKey, []byte(hex.EncodeToString(seed[:])+"\n"))
}

// readSeed never takes a damaged seed for a missing one: a new seed makes
// worthless what every other server has given out.
func (d *Dir) readSeed(ctx context.Context) (seed [SeedBytes]byte, err error) {
	text, err := d.Get(ctx, seedKey)
	if err != nil {
		return seed, err
	}
	raw, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(raw) != SeedBytes {
		return seed, fmt.Errorf("store %s: file %q does not hold %d hex digits; restore it from another server or a backup, "+
			"or delete it for a new one, at the price of all session tickets and cookies given out so far", d.path, seedKey, hex.EncodedLen(SeedBytes))
	}
	return [SeedBytes]byte(raw), nil
}
