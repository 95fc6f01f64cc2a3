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
	typeSVCB  = 64
	typeHTTPS = 65
	typeIXFR  = 251
	typeAXFR  = 252
	typeANY   = 255
	typeCAA   = 257

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
	qdcount := binary.BigEndian.Uint16(m[4:])
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
	m := q.Message
	// A label, the byte after it and the name's end must lie before this.
	end := min(len(m), headerBytes+query.MaxNameBytes)
	at, count := headerBytes, 0
	for {
		if at >= len(m) {
			return false
		}
		n := int(m[at])
		if n == 0 {
			at++
			break
		}
		// Everything above 63 is a pointer, which has nothing to point to in
		// the first name of a message, or a label type that was never used
		// (RFC 6891 §5).
		if n > 63 || at+n+2 > end {
			return false
		}
		if m[at+1] == '_' {
			r.scope = count
		}
		q.Labels[count&query.MaxLabels] = uint8(at - headerBytes) // the mask spares a check: there are no more
		count++
		at += n + 1
	}
	if at+4 > len(m) {
		return false
	}
	q.Count = count
	q.Name = q.Fold[:at-headerBytes]
	foldName(q.Name, m[headerBytes:at])
	fixed := m[at : at+4]
	q.Type = binary.BigEndian.Uint16(fixed)
	q.Class = binary.BigEndian.Uint16(fixed[2:])
	r.question = at + 4
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
		if len(m)-at < 10 {
			return false
		}
		fixed := m[at : at+10]
		data := at + 10
		at = data + int(binary.BigEndian.Uint16(fixed[8:]))
		if at > len(m) {
			return false
		}
		if binary.BigEndian.Uint16(fixed) != typeOPT {
			continue
		}
		// One OPT, owned by the root, in the additional section (RFC 6891 §6.1.1).
		if q.HasOPT || m[owner] != 0 || i < before {
			return false
		}
		q.HasOPT = true
		if !r.edns.parse(fixed, m[data:at]) {
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
