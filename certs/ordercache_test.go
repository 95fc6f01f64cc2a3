package certs

import (
	"testing"

	"golang.org/x/crypto/acme/autocert"

	"domainpark/store"
)

// TestManagerLeftBehindChangesNothing has the order of one server be over, and
// another one answer for the same host.
func TestManagerLeftBehindChangesNothing(t *testing.T) {
	st := openStore(t, t.TempDir())
	s := newSource(t, fakeConfig(st, &journal{}, testHost))
	c := &orderCache{ctx: t.Context(), host: testHost, answers: &s.answers, up: map[string]bool{}}
	key := certificateKey(testHost)
	must(t, c.Put(t.Context(), key, []byte("ours")))
	c.close()
	if _, err := st.Get(t.Context(), key); err != store.ErrNotFound {
		t.Errorf("after the order: got error %v, want no answer in the store", err)
	}

	must(t, st.Put(t.Context(), key, []byte("another's")))
	must(t, c.Delete(t.Context(), key))
	if err := c.Put(t.Context(), key, []byte("ours")); err != errOver {
		t.Errorf("Put after the order: got error %v, want %v", err, errOver)
	}
	must(t, c.Put(t.Context(), testHost, []byte("certificate")))
	if got := s.answers.get(t.Context(), key); string(got) != "another's" {
		t.Errorf("another server's answer: got %q", got)
	}
	if _, err := st.Get(t.Context(), testHost); err != store.ErrNotFound {
		t.Errorf("certificate: got error %v, want none in the store", err)
	}
}

func TestOrderSeesNoCertificateAndStoresNothingUnforeseen(t *testing.T) {
	st := openStore(t, t.TempDir())
	s := newSource(t, fakeConfig(st, &journal{}, testHost))
	for _, key := range []string{testHost, accountKey, "seed"} {
		must(t, st.Put(t.Context(), key, []byte("kept")))
	}
	c := &orderCache{ctx: t.Context(), host: testHost, answers: &s.answers, up: map[string]bool{}}
	for _, key := range []string{testHost, accountKey, "seed", otherHost} {
		if _, err := c.Get(t.Context(), key); err != autocert.ErrCacheMiss {
			t.Errorf("Get %q: got error %v, want autocert.ErrCacheMiss", key, err)
		}
	}
	for _, key := range []string{accountKey, "seed", otherHost} {
		if err := c.Put(t.Context(), key, []byte("new")); err == nil {
			t.Errorf("Put %q: got no error", key)
		}
		must(t, c.Delete(t.Context(), key))
	}
	for _, key := range []string{testHost, accountKey, "seed"} {
		if got, err := st.Get(t.Context(), key); err != nil || string(got) != "kept" {
			t.Errorf("store, %q: got %q, error %v", key, got, err)
		}
	}
}
