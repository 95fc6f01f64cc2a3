package policy

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// TestNamesDifferInEverything: names of every length, and next to each one those
// that differ in one byte, lack it, or have two words in another order.
func TestNamesDifferInEverything(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	k, seen := newKeyring(), make(map[uint64][]byte)
	add := func(name []byte) {
		h := k.name(name)
		if other, ok := seen[h]; ok && !bytes.Equal(other, name) {
			t.Errorf("%q has the hash of %q", name, other)
		}
		seen[h] = bytes.Clone(name)
	}
	add(nil)
	for n := 1; n <= 255; n++ {
		name := make([]byte, n) // the last byte is the root's label
		for i := range name[:n-1] {
			name[i] = byte(r.Uint32())
		}
		add(name)
		for i := range name[:n-1] {
			changed := bytes.Clone(name)
			changed[i] ^= 1 << r.IntN(8)
			add(changed)
			add(append(bytes.Clone(name[:i]), name[i+1:]...))
		}
		for i := 0; i+24 < n; i += 8 {
			turned := bytes.Clone(name)
			a, b := binary.LittleEndian.Uint64(turned[i:]), binary.LittleEndian.Uint64(turned[i+8:])
			binary.LittleEndian.PutUint64(turned[i:], b)
			binary.LittleEndian.PutUint64(turned[i+8:], a)
			add(turned)
		}
		add(make([]byte, n))
	}
	other := newKeyring()
	if name := []byte("\x07example\x03com\x00"); k.name(name) == other.name(name) {
		t.Error("two keyrings agree")
	}
	if len(seen) < 60_000 {
		t.Errorf("%d names: this tests little", len(seen))
	}
}

// TestHashesOfNamesSpread: names that differ in a number, as those of a flood do,
// fall into 64 slots, by their upper bits and by their lower ones, as chance would.
func TestHashesOfNamesSpread(t *testing.T) {
	const names, slots = 64_000, 64
	k := newKeyring()
	var upper, lower [slots]int
	name := []byte("\x06000000\x02aa\x03com\x00")
	for i := range names {
		binary.BigEndian.PutUint32(name[2:], uint32(i))
		h := k.key(client{}, 0, k.name(name))
		upper[h>>58]++
		lower[h%slots]++
	}
	for i := range slots {
		// 1,000 each, give or take 31; ten times that is never met by chance.
		for _, n := range []int{upper[i], lower[i]} {
			if n < 690 || n > 1310 {
				t.Errorf("slot %d has %d of %d names, want about %d", i, n, names, names/slots)
			}
		}
	}
}
