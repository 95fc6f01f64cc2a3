// Package storetest is what every [store.Store] has to pass: a directory now,
// a store shared by a fleet later. Start at [Run]; whatever is specific to one
// implementation, file modes for example, is tested beside it.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/acme/autocert"

	"domainpark/store"
)

// patience bounds every wait that is expected to end. Contention bounds those
// that are expected not to: long enough for several attempts at a lock.
const (
	patience   = 20 * time.Second
	contention = 60 * time.Millisecond
)

// State is the state of one store, empty at first, in whatever form.
type State interface {
	// Open returns another handle on the state, as another server would
	// have. It is called by the test's goroutine only.
	Open(t *testing.T) store.Store

	// Crash takes the lock called name in a process, or something that
	// fails like one, and calls held; then it ends that process without giving
	// it a chance to unlock, and returns when it is gone.
	Crash(t *testing.T, name string, held func())
}

// Run runs the suite; each test gets a new State.
func Run(t *testing.T, newState func(t *testing.T) State) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s State)
	}{
		{"MissingKeyIsAutocertsCacheMiss", missingKey},
		{"PutIsReadBackByEveryHandle", readBack},
		{"ValuesAreCopies", copies},
		{"DeleteForgetsAndMayBeRepeated", deletes},
		{"KeysOfAnyBytesAreApart", keysApart},
		{"EmptyAndOverlongAreRefused", refused},
		{"EndedContextDoesNothing", endedContext},
		{"ReaderNeverSeesHalfAValue", atomicity},
		{"LockExcludes", lockExcludes},
		{"LockWaitsAndGivesUpWithItsContext", lockGivesUp},
		{"LocksAreApartFromEachOtherAndFromKeys", locksApart},
		{"LockOfACrashedHolderIsFree", lockAfterCrash},
		{"SeedIsTheSameForAllWhoRace", seedRace},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, newState(t)) })
	}
}

func missingKey(t *testing.T, s State) {
	_, err := s.Open(t).Get(t.Context(), "ns1.park.example")
	if err != autocert.ErrCacheMiss || err != store.ErrNotFound {
		t.Fatalf("Get of a missing key: got error %v, want autocert.ErrCacheMiss itself", err)
	}
}

func readBack(t *testing.T, s State) {
	a, b := s.Open(t), s.Open(t)
	for _, value := range []string{"first", "second, longer than the first", "", "3"} {
		put(t, a, "k", value)
		wantValue(t, a, "k", value)
		wantValue(t, b, "k", value)
	}
	wantValue(t, s.Open(t), "k", "3")
}

func copies(t *testing.T, s State) {
	st := s.Open(t)
	value := []byte("value")
	if err := st.Put(t.Context(), "k", value); err != nil {
		t.Fatal(err)
	}
	value[0] = 'X'
	got, err := st.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	got[1] = 'Y'
	wantValue(t, st, "k", "value")
}

func deletes(t *testing.T, s State) {
	a, b := s.Open(t), s.Open(t)
	put(t, a, "k", "v")
	for range 2 {
		if err := b.Delete(t.Context(), "k"); err != nil {
			t.Fatalf("Delete: %v", err)
		}
		if _, err := a.Get(t.Context(), "k"); err != store.ErrNotFound {
			t.Fatalf("Get after Delete: got error %v, want ErrNotFound", err)
		}
	}
}

// keysApart takes the keys that autocert uses, and those of somebody who wants
// out of a directory or into another's value.
func keysApart(t *testing.T, s State) {
	keys := []string{
		"ns1.park.example", "ns1.park.example+rsa", "ns1.park.example+token", "acme_account+key",
		"aZ-_09+http-01", "AZ-_09+http-01x", ".", "..", "...", "../k", "../../etc/passwd", "/k", "k/", "k", `\k`, "%2Fk", "%252Fk",
		".tmp-1", ".lock-k", "k\x00", "k\n", " k", "K~1", "übung", "\xff", "*", strings.Repeat("k", 200),
	}
	st := s.Open(t)
	for i, key := range keys {
		put(t, st, key, fmt.Sprint(i))
	}
	st = s.Open(t)
	for i, key := range keys {
		wantValue(t, st, key, fmt.Sprint(i))
	}
}

func refused(t *testing.T, s State) {
	st := s.Open(t)
	for _, key := range []string{"", strings.Repeat("k", 4096)} {
		if err := st.Put(t.Context(), key, []byte("v")); err == nil {
			t.Errorf("Put of a key of %d bytes: no error", len(key))
		}
		if unlock, err := st.Lock(t.Context(), key); err == nil {
			unlock()
			t.Errorf("Lock of a name of %d bytes: no error", len(key))
		}
	}
	put(t, st, "k", strings.Repeat("v", store.MaxValueBytes))
	if err := st.Put(t.Context(), "k", make([]byte, store.MaxValueBytes+1)); err == nil {
		t.Error("Put of a value above MaxValueBytes: no error")
	}
	wantValue(t, st, "k", strings.Repeat("v", store.MaxValueBytes))
}

func endedContext(t *testing.T, s State) {
	st := s.Open(t)
	put(t, st, "k", "v")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := st.Get(ended, "k")
	for verb, err := range map[string]error{
		"Get": err, "Put": st.Put(ended, "k", []byte("w")), "Delete": st.Delete(ended, "k"),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with an ended context: got error %v, want context.Canceled", verb, err)
		}
	}
	wantValue(t, st, "k", "v")
}

// atomicity has several writers replace a value by others of different length,
// each of one repeated byte, under the eyes of several readers.
func atomicity(t *testing.T, s State) {
	const writers, readers, rounds = 3, 3, 20
	handles := make([]store.Store, writers+readers)
	for i := range handles {
		handles[i] = s.Open(t)
	}
	put(t, handles[0], "k", "0")
	var writing, reading sync.WaitGroup
	var done atomic.Bool
	for i, st := range handles[:writers] {
		writing.Go(func() {
			for n := range rounds {
				if err := st.Put(t.Context(), "k", bytes.Repeat([]byte{byte('a' + i)}, 1+n*977)); err != nil {
					t.Errorf("Put: %v", err)
				}
			}
		})
	}
	for _, st := range handles[writers:] {
		reading.Go(func() {
			for !done.Load() {
				value, err := st.Get(t.Context(), "k")
				if err != nil || len(value) == 0 || len(bytes.Trim(value, string(value[:1]))) > 0 {
					t.Errorf("Get during Put: got %d bytes and error %v, want one whole value", len(value), err)
					return
				}
			}
		})
	}
	writing.Wait()
	done.Store(true)
	reading.Wait()
}

func lockExcludes(t *testing.T, s State) {
	const holders, rounds = 6, 5
	handles := make([]store.Store, holders)
	for i := range handles {
		handles[i] = s.Open(t)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var inside atomic.Int32
	var wg sync.WaitGroup
	for _, st := range handles {
		wg.Go(func() {
			for range rounds {
				unlock, err := st.Lock(ctx, "order")
				if err != nil {
					t.Errorf("Lock: %v", err)
					return
				}
				if n := inside.Add(1); n != 1 {
					t.Errorf("%d hold the lock at once", n)
				}
				inside.Add(-1)
				unlock()
			}
		})
	}
	wg.Wait()
}

func lockGivesUp(t *testing.T, s State) {
	a, b := s.Open(t), s.Open(t)
	unlock := lock(t, a, "order")
	for _, st := range []store.Store{a, b} { // not reentrant either
		ctx, cancel := context.WithTimeout(t.Context(), contention)
		if _, err := st.Lock(ctx, "order"); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Lock of a held lock: got error %v, want context.DeadlineExceeded", err)
		}
		cancel()
	}
	got := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		unlock, err := b.Lock(ctx, "order")
		if err == nil {
			unlock()
		}
		got <- err
	}()
	unlock()
	unlock() // once more does no harm, whoever holds it now
	if err := <-got; err != nil {
		t.Fatalf("Lock, after the holder unlocked: %v", err)
	}
}

func locksApart(t *testing.T, s State) {
	st := s.Open(t)
	defer lock(t, st, "one")()
	defer lock(t, st, "../one")()
	defer lock(t, st, "two")()
	if _, err := st.Get(t.Context(), "one"); err != store.ErrNotFound {
		t.Errorf("Get of a lock's name: got error %v, want ErrNotFound", err)
	}
	put(t, st, "one", "value")
	wantValue(t, st, "one", "value")
}

func lockAfterCrash(t *testing.T, s State) {
	st := s.Open(t)
	s.Crash(t, "order", func() {
		ctx, cancel := context.WithTimeout(t.Context(), contention)
		defer cancel()
		if unlock, err := st.Lock(ctx, "order"); err == nil {
			unlock()
			t.Error("got a lock that another process holds")
		}
	})
	lock(t, st, "order")()
}

func seedRace(t *testing.T, s State) {
	const racers = 8
	handles := make([]store.Store, racers)
	for i := range handles {
		handles[i] = s.Open(t)
	}
	var seeds [racers][store.SeedBytes]byte
	var wg sync.WaitGroup
	for i, st := range handles {
		wg.Go(func() {
			var err error
			if seeds[i], err = st.Seed(t.Context()); err != nil {
				t.Errorf("Seed: %v", err)
			}
		})
	}
	wg.Wait()
	later, err := s.Open(t).Seed(t.Context())
	if err != nil {
		t.Fatalf("Seed: %v", err)
	}
	if later == [store.SeedBytes]byte{} {
		t.Error("the seed is all zero")
	}
	for i, seed := range seeds {
		if seed != later {
			t.Errorf("racer %d: got a seed of its own", i)
		}
	}
}

func put(t *testing.T, st store.Store, key, value string) {
	t.Helper()
	if err := st.Put(t.Context(), key, []byte(value)); err != nil {
		t.Fatalf("Put %q: %v", key, err)
	}
}

func wantValue(t *testing.T, st store.Store, key, want string) {
	t.Helper()
	got, err := st.Get(t.Context(), key)
	if err != nil || string(got) != want {
		t.Fatalf("Get %q: got %.60q, error %v, want %.60q", key, got, err, want)
	}
}

func lock(t *testing.T, st store.Store, name string) (unlock func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	unlock, err := st.Lock(ctx, name)
	if err != nil {
		t.Fatalf("Lock %q: %v", name, err)
	}
	return unlock
}
