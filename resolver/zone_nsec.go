package resolver

import (
	"bytes"
	"encoding/binary"

	"domainpark/query"
)

// A link of a chain is in zoneData:
//
//	uint32  which of the snapshot's signed zones it belongs to, 1 for the first
//
// and, of an NSEC chain:
//
//	uint32  where the records of its name are
//	uint16  how many bytes the key takes
//	        key
//
// or, of an NSEC3 chain:
//
//	20 bytes of hash
//	        the sets, as those of a name
const (
	linkHeadBytes = 4
	maxKeyBytes   = 2 * query.MaxNameBytes
)

// linkKey is where the records of a link are, and the key of its name.
func (z zoneData) linkKey(link uint32) (node uint32, key []byte) {
	at := link + linkHeadBytes
	n := uint32(binary.BigEndian.Uint16(z[at+4:]))
	return binary.BigEndian.Uint32(z[at:]), z[at+6:][:n]
}

// nameLink is the link of an NSEC chain that name has or, when it has none, that
// covers it: the last one that is not behind it in canonical order. name lies in
// the zone. Keys are compared as they are: 12 comparisons for 4,000 names.
func (s *snapshot) nameLink(z *signedZone, name []byte) uint32 {
	var buf [maxKeyBytes]byte
	key := appendKey(buf[:0], name[:len(name)-len(z.apex)])
	low, high := 0, len(z.links) // the apex is the first, with an empty key
	for low+1 < high {
		middle := int(uint(low+high) / 2)
		if _, other := s.zoneData.linkKey(z.links[middle]); bytes.Compare(other, key) <= 0 {
			low = middle
		} else {
			high = middle
		}
	}
	return z.links[low]
}

// appendKey appends a key for a name in lower case, without the zone's own
// labels and the root: such keys, compared byte by byte, have the canonical order
// of names (RFC 4034 §6.1). It has the labels from the right, each with a zero byte
// behind it; what would be a zero byte in a label is written 1 1, and a one 1 2.
func appendKey(dst, labels []byte) []byte {
	var at [query.MaxLabels + 1]uint8
	count := 0
	for i := 0; i < len(labels); i += 1 + int(labels[i]) {
		at[count] = uint8(i)
		count++
	}
	for ; count > 0; count-- {
		label := labels[at[count-1]:]
		for _, c := range label[1 : 1+label[0]] {
			if c <= 1 {
				dst = append(dst, 1)
				c++
			}
			dst = append(dst, c)
		}
		dst = append(dst, 0)
	}
	return dst
}

// appendFromKey appends the name in apex that has the key.
func appendFromKey(dst, key, apex []byte) []byte {
	for end := len(key); end > 0; {
		begin := bytes.LastIndexByte(key[:end-1], 0) + 1
		length := len(dst)
		dst = append(dst, 0)
		for i := begin; i < end-1; i++ {
			c := key[i]
			if c == 1 {
				i++
				c = key[i] - 1
			}
			dst = append(dst, c)
		}
		dst[length] = uint8(len(dst) - length - 1)
		end = begin
	}
	return append(dst, apex...)
}
