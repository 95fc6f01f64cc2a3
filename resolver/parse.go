package resolver

import (
	"encoding/binary"

	"domainpark/query"
)

// Offsets and bits of the header (RFC 1035 §4.1.1, RFC 2535 §6.1 for AD and CD).
const (
	headerBytes = 12

	flagQR = 1 << 15
	flagAA = 1 << 10
	flagTC = 1 << 9
	flagRD = 1 << 8
	flagCD = 1 << 4

	opcodeShift = 11
	opcodeMask  = 15
	opcodeQuery = 0
)

// Types and classes that the resolver treats in a way of its own.
const (
	typeA     = 1
	typeNS    = 2
	typeCNAME = 5
	typeSOA   = 6
	typePTR   = 12
	typeHINFO = 13
	typeMX    = 15
	typeTXT   = 16
	typeAAAA  = 28
	typeSRV   = 33
	typeDNAME = 39
	typeOPT   = 41
	typeDS    = 43
	typeRRSIG = 46
	typeNSEC  = 47
	typeSVCB  = 64
	typeHTTPS = 65
	typeIXFR  = 251
	typeAXFR  = 252
	typeANY   = 255
	typeCAA   = 257

	typeDNSKEY     = 48
	typeNSEC3      = 50
	typeNSEC3PARAM = 51

	classIN = 1
	classCH = 3
)

// Sizes that UDP answers are held to.
const (
	// minLimit is what every client takes (RFC 1035 §4.2.1, RFC 6891 §6.2.3).
	minLimit = 512
	// maxUDP is the largest answer that is sent over UDP, and the size that
	// our OPT records announce: it fits into one Ethernet or tunnelled frame
	// without fragments (RFC 9715 §3.2, the DNS flag day of 2020).
	maxUDP = 1232
	// maxStream is what a two-byte length can say.
	maxStream = 65535
)

// request is what parsing finds out and nobody outside the resolver needs. It
// lives on the stack of Resolve; slices in it point into the query's message.
type request struct {
	flags    uint16
	opcode   int
	question int  // where the question ends in the message; headerBytes when there is none to echo
	scope    int  // the last label that begins with an underscore; -1: none does
	bare     bool // well-formed, but without a question
	edns     edns
	spot     spot // where the name lies in an operator's zone
	zone     zoneReply
}

// parse reads q's message. It returns KindNone when the message is a query
// that can be answered, and otherwise the error it gets; silent is set when it
// gets no answer at all.
//
// What the reference servers do with odd messages, and which of them we
// follow, is in docs/conformance.md.
func (r *request) parse(q *query.Query) (kind query.Kind, silent bool) {
	m := q.Message
	if len(m) < headerBytes {
		return query.KindNone, true
	}
	r.flags = binary.BigEndian.Uint16(m[2:])
	if r.flags&flagQR != 0 {
		return query.KindNone, true // answering an answer could go on for ever
	}
	r.opcode = int(r.flags >> opcodeShift & opcodeMask)
	r.question = headerBytes
	r.scope = -1
	if r.opcode == opcodeQuery && binary.BigEndian.Uint64(m[4:]) == usualCounts && r.parseQuestion(q) && r.parseOPT(q) {
		return query.KindNone, false
	}
	return r.parseUnusual(q)
}

// parseUnusual is parse for what is not just a question and an OPT record of
// the version that we know, without options.
func (r *request) parseUnusual(q *query.Query) (kind query.Kind, silent bool) {
	qdcount := binary.BigEndian.Uint16(q.Message[4:])
	wellFormed := qdcount == 0 || qdcount == 1 && r.parseQuestion(q)
	wellFormed = wellFormed && r.parseRecords(q)
	r.bare = wellFormed && qdcount == 0
	if wellFormed && r.edns.keepalive && q.Transport == query.DoQ {
		return query.KindNone, true // fatal to the connection (RFC 9250 §5.5.2)
	}
	switch {
	case wellFormed && r.edns.version > 0:
		return query.KindBadVers, false
	case r.opcode != opcodeQuery:
		// What follows the header need not have the form of a query at all
		// (RFC 8490 §5.4), so it is no format error.
		return query.KindNotImp, false
	case !wellFormed || qdcount != 1: // RFC 9619 §4
		return query.KindFormErr, false
	}
	return query.KindNone, false
}

// parseQuestion reads the one question and notes its name, folded, in q.
func (r *request) parseQuestion(q *query.Query) bool {
	wire := q.Message[headerBytes:]
	at, count := 0, 0
	for {
		if at+2 > len(wire) {
			return false
		}
		head := binary.LittleEndian.Uint16(wire[at : at+2 : at+2]) // the length, and the byte after it
		n := int(head & 0xff)
		if n == 0 {
			break
		}
		// Everything above 63 is a pointer, which has nothing to point to in
		// the first name of a message, or a label type that was never used
		// (RFC 6891 §5).
		if n > 63 {
			return false
		}
		if head>>8 == '_' {
			r.scope = count
		}
		q.Labels[count&query.MaxLabels] = uint8(at) // the mask spares a check: there are no more
		count++
		if at += n + 1; at >= query.MaxNameBytes {
			return false
		}
	}
	if at++; at+4 > len(wire) {
		return false
	}
	fixed := binary.BigEndian.Uint32(wire[at : at+4 : at+4])
	q.Type, q.Class = uint16(fixed>>16), uint16(fixed)
	q.Count = count
	q.Name = q.Fold[:at]
	foldQuestion(&q.Fold, wire, at)
	r.question = headerBytes + at + 4
	return true
}

// foldQuestion writes the name of n bytes that wire begins with in lower case to
// fold. It goes on by chunks to the name's end and beyond, as there are nearly
// always enough bytes behind it: half of the instructions of foldName.
func foldQuestion(fold *[query.MaxNameBytes + 1]byte, wire []byte, n int) {
	const chunk = 16
	for at := 0; at < n; at += chunk {
		if len(wire)-at < chunk || at > len(fold)-chunk {
			foldName(fold[at:n], wire[at:n])
			return
		}
		from, to := (*[chunk]byte)(wire[at:at+chunk:at+chunk]), (*[chunk]byte)(fold[at:at+chunk:at+chunk])
		binary.LittleEndian.PutUint64(to[0:], lower8(binary.LittleEndian.Uint64(from[0:])))
		binary.LittleEndian.PutUint64(to[8:], lower8(binary.LittleEndian.Uint64(from[8:])))
	}
}

// usualCounts are one question and one record, in the additional section.
const usualCounts = 1<<48 | 1

// parseOPT reads the one record that follows the question, when it is an OPT
// record of version 0 without options. Nearly all queries have that, and take 100
// instructions less than with the loop of parseRecords. If not, it notes nothing.
func (r *request) parseOPT(q *query.Query) bool {
	m, at := q.Message, r.question
	if len(m)-at < optBytes {
		return false
	}
	opt := (*[optBytes]byte)(m[at : at+optBytes : at+optBytes])
	// Owner, type and size in a word; what may differ is not looked at: the size,
	// the upper bits of the response code, DO and the other flags.
	const fixed, optWithout = 0xffffff_0000_00_ff_00, typeOPT << 40
	if binary.BigEndian.Uint64(opt[0:])&fixed != optWithout || opt[9]|opt[10] != 0 {
		return false
	}
	q.HasOPT = true
	r.edns.parseFixed((*[fixedBytes]byte)(opt[1:]))
	return true
}

// parseRecords walks over the records behind the question. All but the OPT
// record are skipped: a query has no use for them, and the reference servers
// ignore them too. Bytes behind the last record are ignored.
func (r *request) parseRecords(q *query.Query) bool {
	m := q.Message
	counts := binary.BigEndian.Uint64(m[4:headerBytes]) // of the four sections
	before := int(counts>>32&0xffff + counts>>16&0xffff)
	at := r.question
	for i := range before + int(counts&0xffff) {
		owner := at
		if at < len(m) && m[at] == 0 { // the root, as of every OPT record
			at++
		} else if at = skipName(m, at); at < 0 {
			return false
		}
		if len(m)-at < fixedBytes {
			return false
		}
		fixed := (*[fixedBytes]byte)(m[at:])
		data := at + fixedBytes
		at = data + int(binary.BigEndian.Uint16(fixed[8:]))
		if at > len(m) {
			return false
		}
		if binary.BigEndian.Uint16(fixed[:]) != typeOPT {
			continue
		}
		// One OPT, owned by the root, in the additional section (RFC 6891 §6.1.1).
		if q.HasOPT || m[owner] != 0 || i < before {
			return false
		}
		q.HasOPT = true
		r.edns.parseFixed(fixed)
		if r.edns.version == 0 && !r.edns.parseOptions(m[data:at]) { // options may have another form in another version
			return false
		}
	}
	return true
}

// skipName returns where the name that begins at at ends, or -1. It does not
// follow pointers.
func skipName(m []byte, at int) int {
	for start := at; at < len(m) && at-start < query.MaxNameBytes; {
		n := int(m[at])
		switch {
		case n == 0:
			return at + 1
		case n >= 0xC0:
			return at + 2
		case n > 63:
			return -1
		}
		at += n + 1
	}
	return -1
}
