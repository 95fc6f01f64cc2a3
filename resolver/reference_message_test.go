package resolver_test

import (
	"encoding/binary"
	"encoding/hex"

	"github.com/miekg/dns"
)

// message is what the reference makes of the bytes of a query.
type message struct {
	silent      bool // no query at all: no header, or a response
	id          uint16
	opcode      int
	rd, cd      bool
	noQuestion  bool     // QDCOUNT is 0
	hasQuestion bool     // exactly one, and it parses
	qname       []string // as it was asked, without the root
	qtype       uint16
	qclass      uint16
	malformed   bool        // something behind the question does not parse
	opt         *ednsRecord // nil: none was read before the message broke off
}

type ednsRecord struct {
	size    uint16
	version uint8
	do      bool
	options []uint16
	overrun bool     // the options do not fill the RDATA
	cookies [][]byte // data of the cookie options
}

func (o *ednsRecord) asks(code uint16) bool {
	if o == nil {
		return false
	}
	for _, c := range o.options {
		if c == code {
			return true
		}
	}
	return false
}

// Bits of the header's second line (RFC 1035 §4.1.1, RFC 4035 §3.2.2).
const (
	bitQR = 0x8000
	bitRD = 0x0100
	bitCD = 0x0010
)

// readMessage reads every record that the header promises. Bytes behind the
// last one are nobody's business.
func readMessage(b []byte) message {
	if len(b) < 12 {
		return message{silent: true}
	}
	word := func(i int) uint16 { return binary.BigEndian.Uint16(b[2*i:]) }
	flags := word(1)
	m := message{
		silent: flags&bitQR != 0,
		id:     word(0),
		opcode: int(flags >> 11 & 15),
		rd:     flags&bitRD != 0,
		cd:     flags&bitCD != 0,
	}
	at := 12
	switch word(2) {
	case 0:
		m.noQuestion = true
	case 1:
		labels, next, ok := readQuestionName(b)
		if !ok || next+4 > len(b) {
			m.malformed = true
			return m
		}
		m.hasQuestion = true
		m.qname = labels
		m.qtype = binary.BigEndian.Uint16(b[next:])
		m.qclass = binary.BigEndian.Uint16(b[next+2:])
		at = next + 4
	default: // RFC 9619
		m.malformed = true
		return m
	}

	for section := 3; section <= 5; section++ {
		for range word(section) {
			next, opt, ok := readRecord(b, at)
			if !ok || opt != nil && (section != 5 || m.opt != nil) { // one OPT at most (RFC 6891 §6.1.1)
				m.malformed = true
				return m
			}
			if opt != nil {
				m.opt = opt
			}
			at = next
		}
	}
	m.malformed = m.opt != nil && m.opt.overrun
	return m
}

// cookie is the first cookie option's data (RFC 7873 §5.2: one is what a client
// sends), and whether it has a length that a cookie can have (§4).
func (o *ednsRecord) cookie() (data []byte, ok bool) {
	if o == nil || len(o.cookies) == 0 {
		return nil, true
	}
	data = o.cookies[0]
	return data, len(data) == 8 || len(data) >= 16 && len(data) <= 40
}

func (m message) cookieOK() bool {
	_, ok := m.opt.cookie()
	return ok
}

// cookieAlone tells a query for a cookie and nothing else (RFC 7873 §5.4).
func (m message) cookieAlone() bool {
	return m.noQuestion && !m.malformed && m.cookieOK() && m.opt.asks(dns.EDNS0COOKIE)
}

// readQuestionName reads the QNAME. It may hold no pointer: there is no name
// before it that one could point at.
func readQuestionName(b []byte) (labels []string, next int, ok bool) {
	for i := 12; i < len(b) && i-12 < 255; {
		n := int(b[i])
		switch {
		case n == 0:
			return labels, i + 1, true
		case n > 63 || i+1+n >= len(b):
			return nil, 0, false
		}
		labels = append(labels, string(b[i+1:i+1+n]))
		i += 1 + n
	}
	return nil, 0, false
}

// readRecord reads the record at a place; opt is not nil when it is an OPT.
func readRecord(b []byte, at int) (next int, opt *ednsRecord, ok bool) {
	owner, ok := skipName(b, at)
	if !ok || owner+10 > len(b) {
		return 0, nil, false
	}
	rdata := owner + 10
	next = rdata + int(binary.BigEndian.Uint16(b[owner+8:]))
	if next > len(b) {
		return 0, nil, false
	}
	if binary.BigEndian.Uint16(b[owner:]) != dns.TypeOPT {
		return next, nil, true
	}
	if owner != at+1 { // the owner is the root, one zero byte (RFC 6891 §6.1.2)
		return 0, nil, false
	}
	opt = &ednsRecord{
		size:    binary.BigEndian.Uint16(b[owner+2:]),
		version: b[owner+5],
		do:      b[owner+6]&0x80 != 0,
	}
	if opt.version == 0 { // what another version has here is not known
		opt.readOptions(b[rdata:next])
	}
	return next, opt, true
}

// readOptions lists the codes of the options, those before an overrun too.
func (o *ednsRecord) readOptions(b []byte) {
	for len(b) > 0 {
		if len(b) < 4 || 4+int(binary.BigEndian.Uint16(b[2:])) > len(b) {
			o.overrun = true
			return
		}
		code, end := binary.BigEndian.Uint16(b), 4+int(binary.BigEndian.Uint16(b[2:]))
		o.options = append(o.options, code)
		if code == dns.EDNS0COOKIE {
			o.cookies = append(o.cookies, b[4:end])
		}
		b = b[end:]
	}
}

// skipName finds the end of a name that nobody reads: a pointer ends it.
func skipName(b []byte, at int) (next int, ok bool) {
	for i := at; i < len(b) && i-at < 255; {
		switch n := int(b[i]); {
		case n == 0:
			return i + 1, true
		case n >= 0xc0:
			return i + 2, i+2 <= len(b)
		case n > 63:
			return 0, false
		default:
			i += 1 + n
		}
	}
	return 0, false
}

func hexOf(s string) string { return hex.EncodeToString([]byte(s)) }
