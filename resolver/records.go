package resolver

import "encoding/binary"

// ownerPointer is a compression pointer to the name of the question, which
// always stands behind the header (RFC 1035 §4.1.4).
const ownerPointer = 0xC000 | headerBytes

// records are resource records in wire format, compiled when settings are
// loaded, to be copied behind a question. They never change, so that any
// number of goroutines may append them at once.
type records struct {
	wire   []byte
	answer uint16 // how many of them belong into the answer section,
	ns     uint16 // into the authority section
	ar     uint16 // and into the additional section, which is last
	core   int    // where in wire the additional section begins
	sets   []cut  // where the sets of the additional section end

	// Compression pointers in wire that depend on the question: those to the
	// parked domain's name in it, and those that were compiled relative to
	// the beginning of wire.
	toBase   []uint16
	relative []uint16

	// Not nil when the parked domain's name is spelled out in the data: then
	// wire is empty and each record is put together.
	templates []template

	maxAge uint32 // the smallest TTL, seconds; of a negative answer as RFC 2308 §5 says
}

// simple tells that all of r is in wire, and that nothing of it may be left out.
func (r *records) simple() bool { return r.templates == nil && r.ar == 0 }

// cut is a place in wire where the additional section may end, with the number
// of its records before it.
type cut struct {
	at    int
	count uint16
}

// fit returns how much of wire to send when there is room for so many bytes:
// all of it, or less of the additional section. extra is how many records of
// that section are left.
func (r *records) fit(room int) (size int, extra uint16) {
	if len(r.wire) <= room {
		return len(r.wire), r.ar
	}
	size = r.core
	for _, c := range r.sets {
		if c.at <= room {
			size, extra = c.at, c.count
		}
	}
	return size, extra
}

// appendTo appends the records to dst, a message that begins at start: size
// bytes of wire, as fit says. base is where the parked domain's name stands,
// counted from the start of the message, and name is that name.
func (r *records) appendTo(dst []byte, start, base int, name []byte, size int) []byte {
	if r.templates != nil {
		for i := range r.templates {
			dst = r.templates[i].appendTo(dst, name)
		}
		return dst
	}
	at := len(dst)
	dst = append(dst, r.wire[:size]...)
	r.point(dst[at:], at-start, base)
	return dst
}

// point sets the compression pointers of added, which begins with as much of
// wire as is sent: at byte number at of its message.
func (r *records) point(added []byte, at, base int) {
	for _, p := range r.toBase {
		binary.BigEndian.PutUint16(added[p:], 0xC000|uint16(base))
	}
	for _, p := range r.relative {
		if int(p) < len(added) {
			v := binary.BigEndian.Uint16(added[p:])
			binary.BigEndian.PutUint16(added[p:], v+uint16(at))
		}
	}
}

// template is one record that spells out the parked domain's name.
type template struct {
	head  []byte // owner, type, class and TTL
	parts []part // of the RDATA
}

// part is a piece of RDATA. Parts with inString set form one text that is
// written as character-strings of up to 255 bytes (RFC 1035 §3.3); the others
// are written as they are.
type part struct {
	kind     partKind
	bytes    []byte // of a partBytes
	inString bool
}

type partKind uint8

const (
	partBytes partKind = iota // bytes
	partName                  // the name in wire format, uncompressed
	partText                  // the name in presentation format, without the final dot
	partBreak                 // ends a character-string, so that the next one is a new one
)

// appendTo appends the record with name, in wire format, filled in.
func (t *template) appendTo(dst, name []byte) []byte {
	dst = append(dst, t.head...)
	length := len(dst)
	dst = append(dst, 0, 0)
	s := stringWriter{at: -1}
	for i := range t.parts {
		p := &t.parts[i]
		switch {
		case p.kind == partBreak:
			dst = s.end(dst)
		case p.kind == partName:
			dst = append(dst, name...)
		case p.kind == partBytes && !p.inString:
			dst = append(dst, p.bytes...)
		case p.kind == partBytes:
			dst = s.append(dst, p.bytes)
		case p.inString:
			var text [4 * 256]byte
			dst = s.append(dst, appendText(text[:0], name))
		default:
			dst = appendText(dst, name)
		}
	}
	binary.BigEndian.PutUint16(dst[length:], uint16(len(dst)-length-2))
	return dst
}

// stringWriter writes a text as character-strings.
type stringWriter struct {
	at int // where the length byte of the open string is; -1: none is open
}

func (s *stringWriter) append(dst, text []byte) []byte {
	if s.at < 0 {
		s.at = len(dst)
		dst = append(dst, 0)
	}
	for _, c := range text {
		if dst[s.at] == 255 {
			s.at = len(dst)
			dst = append(dst, 0)
		}
		dst = append(dst, c)
		dst[s.at]++
	}
	return dst
}

func (s *stringWriter) end(dst []byte) []byte {
	if s.at < 0 {
		return append(dst, 0) // an empty string is one byte
	}
	s.at = -1
	return dst
}
