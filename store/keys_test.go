package store_test

import (
	"encoding/hex"
	"testing"
	"time"

	"domainpark/store"
)

const day = 24 * time.Hour

func date(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// A change here makes a fleet of old and new versions refuse each other's
// tickets and cookies: the expected values were computed with Python's hmac,
// from RFC 5869.
func TestKeysStayTheSameAcrossVersions(t *testing.T) {
	k := store.NewKeys([store.SeedBytes]byte{0: 1, 31: 2})
	rolling := k.Rolling("tickets", day, date(t, "2026-03-01T23:59:59Z"))
	for name, test := range map[string]struct {
		got  [store.KeyBytes]byte
		want string
	}{
		"fixed":    {k.Fixed("quic reset"), "7fd9c3036a0356dac4136ff2b9f7d89133e8eef8e5f0d58537d64fee59b317ad"},
		"current":  {rolling.Current, "03645b47e94c0457639a30e862dcce1e9338e6aa25a880d96383791b65c14c0b"},
		"previous": {rolling.Previous, "f7cf9236a591c6b3b855692ce083f853ec7bb8706e55bedd9070e81fdc29966f"},
		"next":     {rolling.Next, "c630521380c060ea402e22267351b0a6b3a6112b42f2275aac193d4d4a71a627"},
	} {
		if got := hex.EncodeToString(test.got[:]); got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
}

func TestKeysRollAtMidnightUTC(t *testing.T) {
	k := store.NewKeys([store.SeedBytes]byte{7})
	before := date(t, "2026-02-28T23:59:59Z")
	midnight := store.NextPeriod(day, before)
	if want := date(t, "2026-03-01T00:00:00Z"); !midnight.Equal(want) {
		t.Fatalf("NextPeriod: got %s, want %s", midnight, want)
	}
	old, new := k.Rolling("a", day, before), k.Rolling("a", day, midnight)
	if new.Previous != old.Current || new.Current != old.Next {
		t.Error("at midnight Current did not become Previous, and Next Current")
	}
	elsewhere := midnight.Add(time.Hour).In(time.FixedZone("", -9*3600))
	if k.Rolling("a", day, elsewhere) != new {
		t.Error("a server in another time zone has other keys")
	}
	if got := store.NextPeriod(day, midnight); !got.Equal(midnight.Add(day)) {
		t.Errorf("NextPeriod at the change: got %s, want a day later", got)
	}
}

func TestKeysDifferBySeedNameAndPeriod(t *testing.T) {
	now := date(t, "2026-03-01T00:00:00Z")
	a, b := store.NewKeys([store.SeedBytes]byte{1}), store.NewKeys([store.SeedBytes]byte{2})
	seen := map[[store.KeyBytes]byte]string{}
	for name, key := range map[string][store.KeyBytes]byte{
		"a x day":      a.Rolling("x", day, now).Current,
		"a y day":      a.Rolling("y", day, now).Current,
		"a x hour":     a.Rolling("x", time.Hour, now).Current,
		"b x day":      b.Rolling("x", day, now).Current,
		"a x fixed":    a.Fixed("x"),
		"a y fixed":    a.Fixed("y"),
		"b x fixed":    b.Fixed("x"),
		"random":       store.RandomKeys().Fixed("x"),
		"random again": store.RandomKeys().Fixed("x"),
	} {
		if other, ok := seen[key]; ok {
			t.Errorf("%s and %s are the same key", name, other)
		}
		seen[key] = name
	}
}
