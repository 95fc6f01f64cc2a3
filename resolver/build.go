package resolver

import (
	"encoding/binary"
	"fmt"

	"domainpark/query"

	"github.com/miekg/dns"
)

// basePlaceholder stands for the parked domain while a record is parsed: as a
// label of its own at the end of a name, or as a byte of a text.
const basePlaceholder = 0x01

// farthestPointer is how far into wire a name may lie that others point to: an
// offset has 14 bits, and a question of up to 271 bytes comes in front.
const farthestPointer = 1<<14 - 1 - 512

// maxRecordsBytes is what is left of the longest message by header, question
// and OPT with every option, rounded down.
const maxRecordsBytes = 64000

// builder compiles resource records into records.
type builder struct {
	records
	names map[string]int // names in wire that others can point to, by their wire format
}

// addAll compiles rrs into the answer section. spelled tells that {base} stands
// in some of them: names that may be compressed point to it then, other data
// is made of templates.
func (b *builder) addAll(rrs []dns.RR, spelled bool) error {
	for _, rr := range rrs {
		var err error
		switch t := rr.Header().Rrtype; {
		case spelled && (t == dns.TypeTXT || t == dns.TypeCAA || t == dns.TypeSRV):
			err = b.addTemplate(rr)
		default:
			err = b.add(&b.answer, nil, rr)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// add compiles one record into the section that count belongs to. owner is nil
// for the name of the question.
func (b *builder) add(count *uint16, owner []byte, rr dns.RR) error {
	data, err := rdata(rr)
	if err != nil {
		return err
	}
	if owner == nil {
		b.wire = binary.BigEndian.AppendUint16(b.wire, ownerPointer)
	} else {
		b.name(owner)
	}
	h := rr.Header()
	b.wire = appendFixed(b.wire, h)
	length := len(b.wire)
	b.wire = append(b.wire, 0, 0)
	// Names are compressed in the types of RFC 1035 alone (RFC 3597 §4).
	switch h.Rrtype {
	case dns.TypeNS, dns.TypePTR:
		b.name(data)
	case dns.TypeMX:
		b.wire = append(b.wire, data[:2]...)
		b.name(data[2:])
	case dns.TypeSOA:
		n := skipName(data, 0)
		end := skipName(data, n)
		b.name(data[:n])
		b.name(data[n:end])
		b.wire = append(b.wire, data[end:]...)
	default:
		b.wire = append(b.wire, data...)
	}
	binary.BigEndian.PutUint16(b.wire[length:], uint16(len(b.wire)-length-2))
	b.counted(count, h)
	return nil
}

// counted notes that a record was added to the section of count.
func (b *builder) counted(count *uint16, h *dns.RR_Header) {
	if b.answer+b.ns+b.ar == 0 || h.Ttl < b.maxAge {
		b.maxAge = h.Ttl
	}
	*count++
	if count != &b.ar {
		b.core = len(b.wire)
	}
}

// largest is how long the records can become in a message.
func (r *records) largest() int {
	n := len(r.wire)
	for i := range r.templates {
		n += len(r.templates[i].head) + 2
		for _, p := range r.templates[i].parts {
			// A name's text has up to four bytes for each of its own, and
			// a character-string a length byte for each 255.
			n += len(p.bytes) + len(p.bytes)/255 + 2
			if p.kind == partName || p.kind == partText {
				n += 4*query.MaxNameBytes + 5
			}
		}
	}
	return n
}

// endSet notes that a set of the additional section is complete.
func (b *builder) endSet() {
	b.sets = append(b.sets, cut{len(b.wire), b.ar})
}

// name appends a name in wire format, as a pointer where it can be one.
func (b *builder) name(name []byte) {
	for name[0] != 0 {
		if len(name) == 3 && name[1] == basePlaceholder {
			b.toBase = append(b.toBase, uint16(len(b.wire)))
			b.wire = append(b.wire, 0, 0)
			return
		}
		if at, ok := b.names[string(name)]; ok {
			b.relative = append(b.relative, uint16(len(b.wire)))
			b.wire = binary.BigEndian.AppendUint16(b.wire, 0xC000|uint16(at))
			return
		}
		if len(b.wire) < farthestPointer {
			if b.names == nil {
				b.names = map[string]int{}
			}
			b.names[string(name)] = len(b.wire)
		}
		b.wire = append(b.wire, name[:1+name[0]]...)
		name = name[1+name[0]:]
	}
	b.wire = append(b.wire, 0)
}

// addTemplate compiles a record of the answer section whose data spells out
// the parked domain's name. A set of records is made of templates wholly or
// not at all.
func (b *builder) addTemplate(rr dns.RR) error {
	data, err := rdata(rr)
	if err != nil {
		return err
	}
	h := rr.Header()
	t := template{head: appendFixed(binary.BigEndian.AppendUint16(nil, ownerPointer), h)}
	switch h.Rrtype {
	case dns.TypeTXT:
		for len(data) > 0 {
			t.text(data[1:1+data[0]], true)
			t.parts = append(t.parts, part{kind: partBreak})
			data = data[1+data[0]:]
		}
	case dns.TypeCAA:
		tag := 2 + int(data[1])
		t.parts = append(t.parts, part{bytes: data[:tag]})
		t.text(data[tag:], false)
	case dns.TypeSRV: // its name must not be compressed (RFC 2782)
		t.parts = append(t.parts, part{bytes: data[:6]})
		t.name(data[6:])
	}
	b.templates = append(b.templates, t)
	b.counted(&b.answer, h)
	return nil
}

// text adds a text, in which placeholders stand for the parked domain.
func (t *template) text(text []byte, inString bool) {
	from := 0
	for i, c := range text {
		if c == basePlaceholder {
			t.parts = append(t.parts, part{bytes: text[from:i], inString: inString}, part{kind: partText, inString: inString})
			from = i + 1
		}
	}
	t.parts = append(t.parts, part{bytes: text[from:], inString: inString})
}

// name adds a name that may end in the placeholder.
func (t *template) name(name []byte) {
	if n := len(name); n >= 3 && name[n-3] == 1 && name[n-2] == basePlaceholder {
		t.parts = append(t.parts, part{bytes: name[:n-3]}, part{kind: partName})
		return
	}
	t.parts = append(t.parts, part{bytes: name})
}

// appendFixed appends what stands between a record's owner and its RDLENGTH.
func appendFixed(dst []byte, h *dns.RR_Header) []byte {
	dst = binary.BigEndian.AppendUint16(dst, h.Rrtype)
	dst = binary.BigEndian.AppendUint16(dst, h.Class)
	return binary.BigEndian.AppendUint32(dst, h.Ttl)
}

// rdata returns the data of rr in wire format, names uncompressed.
func rdata(rr dns.RR) ([]byte, error) {
	rr = dns.Copy(rr)
	rr.Header().Name = "."
	buf := make([]byte, dns.Len(rr)+1)
	n, err := dns.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		return nil, fmt.Errorf("%s record can't be written in wire format: %w", dns.Type(rr.Header().Rrtype), err)
	}
	return buf[1+10 : n], nil
}
