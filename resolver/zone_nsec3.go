package resolver

import (
	"bytes"
	"crypto/sha1"
	"encoding/base32"

	"domainpark/query"
)

// hashBytes is the length of a hash of RFC 5155 §11: SHA-1 alone is defined.
const hashBytes = sha1.Size

// maxIterations is the most that a zone here may have. It bounds what a denial
// costs: a hash, or three where hashMemo does not know the closest encloser, and one
// more for each alias on the way that a wildcard gave, of which there are maxChain at
// most. Each is of so many rounds of SHA-1, 0.1 µs a round. RFC 9276 §3.1 wants none,
// and with more than 100 (systemd-resolved; 50 for BIND, Knot Resolver and PowerDNS
// Recursor) resolvers take a zone for unsigned: such a zone gets a warning. It is
// served all the same, as dnssec-signzone makes zones of up to so many: one zone that
// is refused would keep the others from being served.
const maxIterations = 150

// maxSaltBytes is what its length byte can say (RFC 5155 §3.2).
const maxSaltBytes = 255

// hash is that of a name in lower case (RFC 5155 §5).
func (z *signedZone) hash(name []byte) [hashBytes]byte {
	var buf [query.MaxNameBytes + 1 + maxSaltBytes]byte
	n := copy(buf[:], name)
	n += copy(buf[n:], z.salt)
	h := sha1.Sum(buf[:n])
	for range z.iterations {
		n = copy(buf[:], h[:])
		n += copy(buf[n:], z.salt)
		h = sha1.Sum(buf[:n])
	}
	return h
}

// linkHash is the hash of a link.
func (z zoneData) linkHash(link uint32) []byte { return z[link+linkHeadBytes:][:hashBytes] }

// findHash is the link of an NSEC3 chain that matches name or, when none does,
// that covers it.
func (s *snapshot) findHash(z *signedZone, name []byte) (link uint32, matches bool) {
	h := z.hash(name)
	low, high := 0, len(z.links)
	for low < high {
		middle := int(uint(low+high) / 2)
		if bytes.Compare(s.zoneData.linkHash(z.links[middle]), h[:]) <= 0 {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low == 0 {
		low = len(z.links) // the last one covers what is in front of the first
	}
	link = z.links[low-1]
	return link, bytes.Equal(s.zoneData.linkHash(link), h[:])
}

// hashLink is findHash for those who need the link either way.
func (s *snapshot) hashLink(z *signedZone, name []byte) uint32 {
	link, _ := s.findHash(z, name)
	return link
}

// hashLabelBytes is the length of a hash in an owner name.
const hashLabelBytes = 32

// hashEncoding is that of hashes in owner names, in lower case (RFC 5155 §3.3).
var hashEncoding = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// hashOwner appends the owner of the NSEC3 record for a hash.
func (z *signedZone) hashOwner(dst, hash []byte) []byte {
	dst = append(dst, hashLabelBytes)
	dst = hashEncoding.AppendEncode(dst, hash)
	return append(dst, z.apex...)
}
