package resolver

import (
	"encoding/binary"

	"domainpark/query"
)

// counts is how many records a message has.
type counts struct{ answer, ns, ar uint16 }

// finish appends the message for rep to dst; slip leaves its records out.
func (r *Resolver) finish(dst []byte, s *snapshot, q *query.Query, req *request, rep *reply, slip bool) []byte {
	if rec := rep.records; rec != nil && rec.simple() && !slip && !req.edns.options && rep.ede == noError && !q.Transport.Encrypted() {
		start, size := len(dst), req.question+len(rec.wire)
		if q.HasOPT {
			size += optBytes
		}
		if size <= q.Limit && size <= cap(dst)-start {
			dst = dst[:start+size]
			writeUsual(dst[start:], q, req, rep)
			return dst
		}
	}
	return r.write(dst, s, q, req, rep, slip)
}

// writeUsual is write for what nearly all queries over UDP get: records that are
// copied as they were compiled, all of which fit, and an OPT record without
// options or none. It fills in out, which is as long as that is. It takes a
// third of the instructions of write, which were an eighth of a whole answer's.
func writeUsual(out []byte, q *query.Query, req *request, rep *reply) {
	rec := rep.records
	at := copy(out, q.Message[:req.question])
	added := out[at:]
	copy(added, rec.wire)
	rec.point(added, at, rep.base)
	flags := flagQR | req.flags&(flagRD|flagCD)
	if speaksFor[rep.kind] {
		flags |= flagAA
	}
	all := 1<<48 | uint64(rec.answer)<<32 | uint64(rec.ns)<<16
	if q.HasOPT {
		all++
		var do uint64
		if req.edns.do {
			do = flagDO >> 8
		}
		opt := out[len(out)-optBytes:]
		binary.BigEndian.PutUint64(opt, typeOPT<<40|maxUDP<<24|do)
		binary.BigEndian.PutUint32(opt[7:], uint32(do)<<24)
	}
	binary.BigEndian.PutUint16(out[2:], flags)
	binary.BigEndian.PutUint64(out[4:], all)
	q.MaxAge = rec.maxAge
}

// write appends the message for rep to dst. Records that do not fit are left
// out: of the additional section as many sets as must, which nobody misses
// (RFC 2181 §9), else all of them, with TC=1. slip leaves them out anyway. A
// client that may be somebody else gets less of the additional section.
func (r *Resolver) write(dst []byte, s *snapshot, q *query.Query, req *request, rep *reply, slip bool) []byte {
	start := len(dst)
	dst = append(dst, q.Message[:req.question]...)
	body := len(dst)
	room := q.Limit
	if q.HasOPT {
		room -= optBytes
	}
	var extra uint16 // how many records of the additional section there is room for
	switch rec, z := rep.records, &req.zone; {
	case slip, z.message != nil && !z.whole:
		q.Truncate = true
		if slip {
			rep.ede, req.edns.nsid = noError, false // no larger than it has to be
		}
	case z.message != nil:
		dst, extra, q.MaxAge = z.message, z.ar, z.maxAge
	case rec != nil:
		var size int
		size = len(rec.wire)
		if rec.ar > 0 {
			size, extra = rec.fit(s.additionalRoom(room, q, &req.edns) - (body - start))
		}
		dst = rec.appendTo(dst, start, rep.base, q.Base, size)
		if len(dst)-start > room {
			dst, q.Truncate, extra = dst[:body], true, 0
		} else {
			q.MaxAge = rec.maxAge
		}
	}
	putHeader(dst[start:start+headerBytes], q, req, rep, extra)
	if q.HasOPT {
		dst = r.appendOPT(dst, start, s, q, &req.edns, rep.ede)
	}
	return dst
}

// putHeader writes flags and counts over those of the query. RD and CD are
// copied (RFC 1035 §4.1.1, RFC 4035 §3.1.6), RA and AD are never set.
func putHeader(header []byte, q *query.Query, req *request, rep *reply, extra uint16) {
	flags := flagQR | uint16(req.opcode)<<opcodeShift | req.flags&(flagRD|flagCD) | q.Rcode&15
	if speaksFor[rep.kind] && !req.zone.foreign {
		flags |= flagAA
	}
	c := counts{ar: extra}
	switch {
	case q.Truncate:
		flags |= flagTC
	case rep.records != nil:
		c.answer, c.ns = rep.records.answer, rep.records.ns
	default:
		c.answer, c.ns = req.zone.answer, req.zone.ns
	}
	var qdcount uint64
	if req.question > headerBytes {
		qdcount = 1
	}
	if q.HasOPT {
		c.ar++
	}
	binary.BigEndian.PutUint16(header[2:], flags)
	binary.BigEndian.PutUint64(header[4:], qdcount<<48|uint64(c.answer)<<32|uint64(c.ns)<<16|uint64(c.ar))
}

// speaksFor tells which kinds of answer speak for a domain, with AA set: all
// without an error that are about one.
var speaksFor = [query.Kinds]bool{
	query.KindNone: true, query.KindAnswer: true, query.KindNoData: true, query.KindNXDomain: true, query.KindReferral: true,
}
