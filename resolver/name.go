package resolver

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"domainpark/query"

	"github.com/miekg/dns"
)

// name is a domain name that can be taken apart.
type name struct {
	wire []byte  // in wire format and lower case
	at   []uint8 // where in wire each label's length byte stands, first label first; the root has none
}

// labelled finds the labels of wire, noting them in at.
func labelled(wire []byte, at *[query.MaxLabels + 1]uint8) name {
	count := 0
	for i := 0; wire[i] != 0; i += 1 + int(wire[i]) {
		at[count] = uint8(i)
		count++
	}
	return name{wire, at[:count]}
}

// from is the name without its first i labels; with i the number of labels it
// is the root.
func (n name) from(i int) []byte {
	if i == len(n.at) {
		return n.wire[len(n.wire)-1:]
	}
	return n.wire[n.at[i]:]
}

// under tells whether n is parent or lies below it. Both are in lower case.
func (n name) under(parent []byte) bool {
	at := len(n.wire) - len(parent)
	if at < 0 || !bytes.Equal(n.wire[at:], parent) {
		return false
	}
	return at == len(n.wire)-1 || bytes.IndexByte(n.at, uint8(at)) >= 0
}

// scope is the last label that begins with an underscore; -1: none does.
func (n name) scope() int {
	for i := len(n.at) - 1; i >= 0; i-- {
		if n.wire[n.at[i]+1] == '_' {
			return i
		}
	}
	return -1
}

// wireName turns a domain name in presentation format, with or without the
// final dot, into wire format folded to lower case.
func wireName(text string) ([]byte, error) {
	return appendName(nil, text)
}

// appendName appends text, a domain name in presentation format, to dst in
// wire format and lower case. Names without escapes, which is nearly all of
// them, are converted here: lists of a million domains are read with it.
func appendName(dst []byte, text string) ([]byte, error) {
	start := len(dst)
	if text == "" {
		return dst, errors.New("an empty name; the root is written as a single dot")
	}
	if strings.IndexByte(text, '\\') >= 0 {
		return appendEscapedName(dst, text)
	}
	if text == "." {
		return append(dst, 0), nil
	}
	text = strings.TrimSuffix(text, ".")
	for label := range strings.SplitSeq(text, ".") {
		if len(label) == 0 {
			return dst[:start], fmt.Errorf("%q has an empty label", text)
		}
		if len(label) > 63 {
			return dst[:start], fmt.Errorf("label %q has %d bytes, more than the 63 that RFC 1035 §2.3.4 allows", label, len(label))
		}
		dst = append(dst, byte(len(label)))
		for i := range len(label) {
			dst = append(dst, lower(label[i]))
		}
	}
	dst = append(dst, 0)
	if n := len(dst) - start; n > query.MaxNameBytes {
		return dst[:start], fmt.Errorf("%q has %d bytes in wire format, more than the %d that RFC 1035 §2.3.4 allows", text, n, query.MaxNameBytes)
	}
	return dst, nil
}

func appendEscapedName(dst []byte, text string) ([]byte, error) {
	var buf [query.MaxNameBytes + 1]byte
	n, err := dns.PackDomainName(dns.Fqdn(text), buf[:], 0, nil, false)
	if err != nil {
		return dst, fmt.Errorf("%q is not a domain name: %w", text, err)
	}
	for _, c := range buf[:n] {
		dst = append(dst, lower(c))
	}
	return dst, nil
}

// lower folds an ASCII letter (RFC 4343 §3). Length bytes are below 'A', so
// that a whole name in wire format can be folded byte by byte.
func lower(c byte) byte {
	if c-'A' < 26 {
		c |= 0x20
	}
	return c
}

// foldName writes name in lower case to dst, which is as long. Length bytes are
// not letters. Eight bytes at a time, it takes a third of the instructions of a
// loop over bytes, which were a tenth of a whole answer's.
func foldName(dst, name []byte) {
	dst = dst[:len(name)]
	i := 0
	for ; i+8 <= len(name); i += 8 {
		binary.LittleEndian.PutUint64(dst[i:], lower8(binary.LittleEndian.Uint64(name[i:])))
	}
	if i == 0 {
		for i, c := range name {
			dst[i] = lower(c)
		}
		return
	}
	last := len(name) - 8 // overlaps what is folded already
	binary.LittleEndian.PutUint64(dst[last:], lower8(binary.LittleEndian.Uint64(name[last:])))
}

// lower8 folds eight bytes: in each, the highest bit of a sum tells whether the
// lower seven bits are at least 'A', and of another whether they are above 'Z'.
func lower8(w uint64) uint64 {
	const each = 0x0101010101010101
	const high = 0x80 * each
	low := w &^ high
	upper := (low + (0x80-'A')*each) &^ (low + (0x7f-'Z')*each) &^ w & high
	return w | upper>>2
}

// equalFold tells whether two names in wire format are the same.
func equalFold(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i, c := range a {
		if lower(c) != lower(b[i]) {
			return false
		}
	}
	return true
}

// appendText appends name, in wire format, in presentation format without the
// final dot (RFC 1035 §5.1, RFC 4343 §2.1).
func appendText(dst, name []byte) []byte {
	for first := true; len(name) > 0 && name[0] != 0; first = false {
		if !first {
			dst = append(dst, '.')
		}
		label := name[1 : 1+name[0]]
		for _, c := range label {
			switch {
			case strings.IndexByte(`.\"();@$`, c) >= 0:
				dst = append(dst, '\\', c)
			case c <= ' ' || c > '~':
				dst = append(dst, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
			default:
				dst = append(dst, c)
			}
		}
		name = name[1+len(label):]
	}
	return dst
}
