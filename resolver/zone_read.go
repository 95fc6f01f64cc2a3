package resolver

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"strings"
)

// zoneRecord is one record of a zone as it was read.
type zoneRecord struct {
	owner  string // wire format, lower case
	rrtype uint16
	ttl    uint32
	data   []byte // wire format, names uncompressed
	file   int    // which of the reader's files it stands in
	line   int
}

// zoneReader reads one zone and collects its mistakes.
type zoneReader struct {
	include func(file string) (Source, error)
	verify  int    // how many signatures are verified at most
	apex    string // wire format, lower case
	name    string // presentation format, with the final dot
	files   []string
	full    bool // there were more than maxIncluded, and it has been said
	made    int  // how many records $GENERATE has made
	records []zoneRecord
	hashed  []zoneRecord // NSEC3 and what signs it: owned by hashes, not by names (RFC 5155 §7.2.8)
	errs    []*Error
	buf     []byte // scratch for data in wire format
}

// zoneFile is one file while it is read.
type zoneFile struct {
	number int
	depth  int    // of $INCLUDE directives around it
	origin string // presentation format, with the final dot
	owner  string // of the last record, the same; empty: none yet
	ttl    uint32 // of records that have none
	fixed  bool   // ttl is that of a $TTL directive; else that of the last record (RFC 1035 §5.1)
}

const (
	maxTTL = 1<<31 - 1 // RFC 2181 §8
	noTTL  = 1<<32 - 1 // no record had one yet

	// maxIncludes is how deep files may include one another: enough for any
	// purpose, and the end of a file that includes itself.
	maxIncludes = 8

	// maxIncluded is how many files one zone may be put together from, those that
	// are read again counted again: a file that includes itself ten times would
	// otherwise be read a hundred million times before maxIncludes ends it.
	maxIncluded = 1000
)

// readZone reads the records of z. They are sorted by owner and type, SOA and
// NS first, and none is there twice.
func readZone(z *Zone, apex []byte, include func(string) (Source, error), buf []byte) *zoneReader {
	r := &zoneReader{include: include, apex: string(apex), name: string(appendText(nil, apex)) + ".", buf: buf}
	r.read(z.Source, zoneFile{origin: r.name, ttl: noTTL})
	slices.SortStableFunc(r.records, func(a, b zoneRecord) int {
		return cmp.Or(cmp.Compare(a.owner, b.owner), cmp.Compare(a.rank(), b.rank()))
	})
	r.records = withoutDuplicates(r.records)
	r.separateHashes()
	return r
}

// rank sorts the records of one owner: by type, and behind each set what signs it.
func (r *zoneRecord) rank() int {
	signs, rrtype := 0, r.rrtype
	if rrtype == typeRRSIG {
		signs, rrtype = 1, r.covers()
	}
	switch rrtype {
	case typeSOA:
		return -4 + signs
	case typeNS:
		return -2 + signs
	}
	return 2*int(rrtype) + signs
}

// covers is the type of the records that an RRSIG record signs (RFC 4034
// §3.1.1); 0 of others.
func (r *zoneRecord) covers() uint16 {
	if r.rrtype != typeRRSIG {
		return 0
	}
	return binary.BigEndian.Uint16(r.data)
}

// sameSet tells whether two records of one owner form a set: of RRSIG records,
// those that sign the same one (RFC 4035 §2.2).
func (r *zoneRecord) sameSet(o *zoneRecord) bool {
	return r.rrtype == o.rrtype && r.covers() == o.covers()
}

// separateHashes moves what hashes own from records to hashed.
func (r *zoneReader) separateHashes() {
	kept := r.records[:0]
	for _, rec := range r.records {
		if rec.rrtype == typeNSEC3 || rec.covers() == typeNSEC3 {
			r.hashed = append(r.hashed, rec)
		} else {
			kept = append(kept, rec)
		}
	}
	r.records = kept
}

func (r *zoneReader) fail(file, line, column int, format string, args ...any) {
	r.errs = append(r.errs, &Error{File: r.files[file], Line: line, Column: column, Reason: bounded(fmt.Sprintf(format, args...))})
}

// giveWayEvery is after how many records a reader lets other goroutines run. Who
// answers queries while zones are loaded again would otherwise wait until the
// scheduler takes a reader off its CPU, 10 ms later. With 100,000 zones read
// beside 5,000 queries a second on two busy cores the mean wait of these was
// 15, 15 and 7 ms without this and 5, 13 and 3 ms with it, in turns; none is lost.
const giveWayEvery = 32

// read reads a file, beginning as f says.
func (r *zoneReader) read(source Source, f zoneFile) {
	f.number = len(r.files)
	r.files = append(r.files, source.Name)
	text, err := source.text()
	if err != nil {
		r.errs = append(r.errs, err)
		return
	}
	n := 0
	line, reason := eachEntry(text, func(e *entry) bool {
		if n++; n%giveWayEvery == 0 {
			runtime.Gosched()
		}
		if len(r.errs) >= maxMistakes {
			r.tooMany(f.number, e.line)
			return false
		}
		if strings.HasPrefix(e.owner, "$") {
			r.directive(&f, e)
		} else {
			r.record(&f, e)
		}
		return true
	})
	if reason != "" {
		r.fail(f.number, line, 0, "%s", reason)
	}
}

// tooMany tells, once, that a zone has more mistakes than are worth reading.
func (r *zoneReader) tooMany(file, line int) {
	if len(r.errs) == maxMistakes {
		r.fail(file, line, 0, "more than %d mistakes: from here on the zone was not read; is this a zone file?", maxMistakes)
	}
}

// withoutDuplicates keeps the first of several equal records (RFC 2181 §5).
// records are sorted.
func withoutDuplicates(records []zoneRecord) []zoneRecord {
	kept := records[:0]
	set := 0 // where in kept the set at hand begins
	var seen map[string]bool
	for _, rec := range records {
		if set == len(kept) || kept[set].owner != rec.owner || !kept[set].sameSet(&rec) {
			set, seen = len(kept), nil
		} else {
			if seen == nil {
				seen = map[string]bool{kept[set].identity(): true}
			}
			if id := rec.identity(); seen[id] {
				continue
			} else {
				seen[id] = true
			}
		}
		kept = append(kept, rec)
	}
	return kept
}

// identity is the same for records of a set that are duplicates: the TTL and
// the data, the case of names aside.
func (r *zoneRecord) identity() string {
	data := r.data
	switch r.rrtype {
	case typeNS, typeCNAME, typePTR, typeMX, typeSRV, typeDNAME, typeSOA:
		data = foldedBytes(data)
	}
	return string(binary.BigEndian.AppendUint32(nil, r.ttl)) + string(data)
}

// foldedBytes is data in lower case, byte by byte: bytes.ToLower knows UTF-8.
func foldedBytes(data []byte) []byte {
	out := bytes.Clone(data)
	for i, c := range out {
		out[i] = lower(c)
	}
	return out
}
