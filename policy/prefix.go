package policy

import (
	"crypto/rand"
	"encoding/binary"
	"hash/maphash"
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
	seed    maphash.Seed
	secrets [3]uint64
}

func newKeyring() keyring {
	k := keyring{seed: maphash.MakeSeed()}
	var b [24]byte
	rand.Read(b[:]) // never fails: it ends the program instead
	for i := range k.secrets {
		k.secrets[i] = binary.LittleEndian.Uint64(b[8*i:]) | 1
	}
	return k
}

// name hashes a domain name in wire format, which may be nil.
func (k *keyring) name(wire []byte) uint64 { return maphash.Bytes(k.seed, wire) }

// key joins a network, a small number that tells kinds of accounts apart and
// the hash of a name. Two folded multiplications with secrets, as wyhash does
// it: hashing the whole key with maphash costs 11 ns a time here, this costs 3,
// and a slow query needs six keys.
func (k *keyring) key(c client, kind, name uint64) uint64 {
	return fold(fold(c.bits^k.secrets[0], kind<<1^uint64(c.family)^k.secrets[1])^name, k.secrets[2])
}

func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}
