package store_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"domainpark/store"
)

func TestOperationsAreCounted(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	ctx := t.Context()
	if _, err := d.Seed(ctx); err != nil { // two reads, a lock, a write
		t.Fatal(err)
	}
	put(t, d, "k")
	if _, err := d.Get(ctx, "absent"); err != store.ErrNotFound {
		t.Fatal(err)
	}
	if err := d.Delete(ctx, "k"); err != nil {
		t.Fatal(err)
	}
	wantDone(t, d, store.Tally{Succeeded: 3}, store.Tally{Succeeded: 2}, store.Tally{Succeeded: 1}, store.Tally{Succeeded: 1})

	// A directory in a file's place spoils every operation, for root too.
	if err := os.MkdirAll(filepath.Join(dir, "spoilt", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, ".lock-spoilt"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := d.Get(ctx, "spoilt")
	wantError(t, err, "read")
	wantError(t, d.Put(ctx, "spoilt", nil), "write")
	wantError(t, d.Delete(ctx, "spoilt"), "delete")
	_, err = d.Lock(ctx, "spoilt")
	wantError(t, err, "lock")
	wantDone(t, d, store.Tally{Succeeded: 3, Failed: 1}, store.Tally{Succeeded: 2, Failed: 1}, store.Tally{Succeeded: 1, Failed: 1}, store.Tally{Succeeded: 1, Failed: 1})
}

// TestWhoGivesUpIsNoFailure: of two that wait for a lock in vain, the one whose
// time is over counts, and not the one that is told to stop.
func TestWhoGivesUpIsNoFailure(t *testing.T) {
	d := open(t, t.TempDir())
	unlock, err := d.Lock(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	_, err = d.Lock(endedContext(t), "k")
	wantError(t, err, "still held")
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	_, err = d.Lock(late, "k")
	wantError(t, err, "still held")
	if got := d.Done(store.Lock); got != (store.Tally{Succeeded: 1, Failed: 1}) {
		t.Errorf("got %+v", got)
	}
}

func wantDone(t *testing.T, d *store.Dir, want ...store.Tally) {
	t.Helper()
	for o := range store.Operations {
		if got := d.Done(o); got != want[o] {
			t.Errorf("%s: got %+v, want %+v", o, got, want[o])
		}
	}
}
