package policy

import (
	"crypto/rand"
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// client is what every limit calls one client: an IPv4 address, or the /64 of
// an IPv6 address, because a host may take any address of its /64 (RFC 4291
// §2.5.1, RFC 7421). The upper 64 bits therefore hold all that matters; an
// IPv4 address stands in the upper 32 of them.
type client struct {
	bits   uint64
	family family
}

type family uint8

const (
	ipv4 family = iota
	ipv6
	families
)

// clientLength is the prefix length, by family, that stands for one client.
var clientLength = [families]uint8{32, 64}

// ipv4Client reads an IPv4 address. It is small enough for the compiler to put it
// into its callers, which takes 9 instructions where clientOf takes 22.
func ipv4Client(a netip.Addr) client {
	b := a.As4()
	return client{uint64(binary.BigEndian.Uint32(b[:])) << 32, ipv4}
}

// clientOf reads an address; one in IPv6-mapped form counts as IPv4.
func clientOf(a netip.Addr) client {
	if a.Is4() || a.Is4In6() {
		b := a.As4()
		return client{uint64(binary.BigEndian.Uint32(b[:])) << 32, ipv4}
	}
	b := a.As16()
	return client{binary.BigEndian.Uint64(b[:8]), ipv6}
}

// within is the network of the first length bits that c lies in.
func (c client) within(length uint8) client {
	c.bits &= ^uint64(0) << (64 - length)
	return c
}

// prefix writes the network of the first length bits as people do.
func (c client) prefix(length uint8) netip.Prefix {
	c = c.within(length)
	if c.family == ipv4 {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(c.bits>>32))
		return netip.PrefixFrom(netip.AddrFrom4(b), int(length))
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], c.bits)
	return netip.PrefixFrom(netip.AddrFrom16(b), int(length))
}

// keyring hashes what a bucket is kept for. Its secrets are drawn when it is
// made, so that nobody outside can aim at a slot of a table.
type keyring struct {
	secrets [3]uint64
	names   [2]uint64 // secrets too
}

func newKeyring() (k keyring) {
	var b [8 * (len(k.secrets) + len(k.names))]byte
	rand.Read(b[:]) // never fails: it ends the program instead
	for i := range k.secrets {
		k.secrets[i] = binary.LittleEndian.Uint64(b[8*i:]) | 1
	}
	for i := range k.names {
		k.names[i] = binary.LittleEndian.Uint64(b[8*(len(k.secrets)+i):])
	}
	return k
}

// name hashes a domain name in wire format, which may be nil. It takes 20
// instructions for one of 8 to 16 bytes and 10 for each further word; maphash
// takes 44 and more.
//
// It folds word after word into the hash, both masked by secrets, as wyhash does.
// The last word overlaps the one before. Its highest byte is the root's label,
// always zero, and the length takes its place: no two names are the same words.
// So who does not know the secrets makes two names meet, or a factor zero, by
// chance alone. The mask of the hash also keeps the order of the words: folded
// products alone are nearly the same in any order.
func (k *keyring) name(wire []byte) uint64 {
	n := len(wire)
	if n < 8 {
		return fold(short(wire)^k.names[0], uint64(n)<<56^k.names[1])
	}
	h, last := binary.LittleEndian.Uint64(wire), binary.LittleEndian.Uint64(wire[n-8:])
	for i := 8; i < n-8; i += 8 {
		h = fold(h^k.names[0], binary.LittleEndian.Uint64(wire[i:i+8])^k.names[1])
	}
	return fold(h^k.names[0], last^uint64(n)<<56^k.names[1])
}

// short is the word of less than eight bytes.
func short(b []byte) (w uint64) {
	for i, x := range b {
		w |= uint64(x) << (8 * i)
	}
	return w
}

// key joins a network, a small number that tells kinds of accounts apart and
// the hash of a name. Two folded multiplications with secrets, as wyhash does
// it: hashing the whole key with maphash costs 11 ns a time here, this costs 3,
// and a slow query needs six keys.
func (k *keyring) key(c client, kind, name uint64) uint64 {
	return k.join(c, k.kind(c.family, kind), name)
}

// kind is what a kind of accounts of a family is for join.
func (k *keyring) kind(f family, kind uint64) uint64 { return kind<<1 ^ uint64(f) ^ k.secrets[1] }

// join is key with a number that kind returned.
func (k *keyring) join(c client, kind, name uint64) uint64 {
	return fold(fold(c.bits^k.secrets[0], kind)^name, k.secrets[2])
}

func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}
