package listeners

import (
	"github.com/quic-go/qpack"
	"golang.org/x/net/http2/hpack"
)

// h3Fields reads a field section of HTTP/3 (RFC 9204 §4.5) without allocating.
// It takes less than there is: the static table alone, as our SETTINGS leave no
// dynamic one, and no integer that a request in one packet has no use for. What
// it does not take is not wrong, but h3Stream's to judge.
type h3Fields struct {
	rest []byte // of the section
	text plain  // where Huffman-coded strings are decoded to; kept for the next section
}

// plain is decoded text. It implements io.Writer for hpack.
type plain []byte

func (p *plain) Write(text []byte) (int, error) {
	*p = append(*p, text...)
	return len(text), nil
}

// h3Line is one line of a header. Nobody may change its bytes: they lie in the
// request, in h3Fields or in h3Static.
type h3Line struct{ name, value []byte }

// begin starts to read section, and tells whether it stands for itself: its
// Required Insert Count and Delta Base are zero (RFC 9204 §4.5.1).
func (f *h3Fields) begin(section []byte) bool {
	if len(section) < 2 || section[0] != 0 || section[1] != 0 {
		return false
	}
	f.rest, f.text = section[2:], f.text[:0]
	return true
}

// next returns the next line. It must not be called at the end of the section,
// where rest is empty. A line stays valid until begin.
func (f *h3Fields) next() (line h3Line, ok bool) {
	switch b := f.rest[0]; {
	case b&0xc0 == 0xc0: // indexed, static: RFC 9204 §4.5.2
		return f.indexed(6)
	case b&0xd0 == 0x50: // literal with the name of a static line: §4.5.4
		if line, ok = f.indexed(4); ok {
			line.value, ok = f.literal(7)
		}
		return line, ok
	case b&0xe0 == 0x20: // literal: §4.5.6
		if line.name, ok = f.literal(3); ok {
			line.value, ok = f.literal(7)
		}
		return line, ok
	default: // the dynamic table
		return line, false
	}
}

// indexed takes off the index of a line of the static table.
func (f *h3Fields) indexed(bits uint) (h3Line, bool) {
	i, ok := f.integer(bits)
	if !ok || i >= len(h3Static) {
		return h3Line{}, false
	}
	return h3Static[i], true
}

// literal takes off a string whose length has so many bits; the bit before them
// says whether it is Huffman-coded.
func (f *h3Fields) literal(bits uint) ([]byte, bool) {
	if len(f.rest) == 0 {
		return nil, false
	}
	huffman := f.rest[0]>>bits&1 == 1
	n, ok := f.integer(bits)
	if !ok || n > len(f.rest) {
		return nil, false
	}
	text := f.rest[:n:n]
	f.rest = f.rest[n:]
	if !huffman {
		return text, true
	}
	start := len(f.text)
	_, err := hpack.HuffmanDecode(&f.text, text)
	return f.text[start:len(f.text):len(f.text)], err == nil
}

// integer takes off an integer whose first byte has so many bits of it (RFC 7541
// §5.1). A second byte holds 127 more, and a third is enough for any packet.
func (f *h3Fields) integer(bits uint) (n int, ok bool) {
	if len(f.rest) == 0 {
		return 0, false
	}
	most := 1<<bits - 1
	n = int(f.rest[0]) & most
	f.rest = f.rest[1:]
	if n < most {
		return n, true
	}
	for shift := 0; shift <= 7 && len(f.rest) > 0; shift += 7 {
		b := f.rest[0]
		f.rest = f.rest[1:]
		n += int(b&127) << shift
		if b < 128 {
			return n, true
		}
	}
	return 0, false
}

// h3Static is QPACK's static table (RFC 9204 appendix A), as package qpack has
// it: it shows the table to decoders alone.
var h3Static = func() (table []h3Line) {
	for i := 0; ; i++ {
		section := []byte{0, 0, 0xc0 | byte(i)}
		if i >= 63 {
			section = []byte{0, 0, 0xff, byte(i - 63)}
		}
		field, err := qpack.NewDecoder().Decode(section)()
		if err != nil {
			return table
		}
		table = append(table, h3Line{[]byte(field.Name), []byte(field.Value)})
	}
}()

// h3Index is the index of a line of the static table, and if there is none with
// value of one with that name. It must be there.
func h3Index(name, value string) int {
	found := -1
	for i, line := range h3Static {
		switch {
		case string(line.name) != name:
		case string(line.value) == value:
			return i
		case found < 0:
			found = i
		}
	}
	if found < 0 {
		panic("BUG: QPACK's static table has no " + name)
	}
	return found
}
