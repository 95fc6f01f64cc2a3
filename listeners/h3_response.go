package listeners

import (
	"bytes"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/quic-go/qpack"
	"github.com/quic-go/quic-go/quicvarint"
)

// The header of an answer differs from the next one's in three lines. The rest
// are bytes made in advance, with the values that dohHandler has for them.

// h3HeadBytes has room for what stands before an answer: two frame headers and
// a header of seven lines, of which two have a text of their own.
const h3HeadBytes = 128

// h3Answered begins the field section of every answer.
var h3Answered = h3Section(http.StatusOK, dnsMessage[0])

// h3Section begins a field section: the lines that every response has.
func h3Section(status int, contentType string) []byte {
	return h3Encode(
		":status", strconv.Itoa(status),
		"x-content-type-options", noSniff[0],
		"access-control-allow-origin", anyOrigin[0],
		"content-type", contentType)
}

// h3Encode returns the field section with these names and values.
func h3Encode(lines ...string) []byte {
	var section bytes.Buffer
	e := qpack.NewEncoder(&section)
	for i := 0; i < len(lines); i += 2 {
		_ = e.WriteField(qpack.HeaderField{Name: lines[i], Value: lines[i+1]}) // a bytes.Buffer takes everything
	}
	return section.Bytes()
}

// Parts of the other lines.
var (
	h3NoStore    = h3Encode("cache-control", noStore[0])[2:]
	h3RetryAfter = h3Encode("retry-after", retryHint[0])[2:]
	h3MaxAge     = h3Named("cache-control")
	h3Length     = h3Named("content-length")
	h3Date       = h3Named("date")
)

// h3Named begins a line with a name of the static table (RFC 9204 §4.5.4).
func h3Named(name string) []byte {
	if i := h3Index(name, ""); i >= 15 {
		return []byte{0x5f, byte(i - 15)}
	}
	return []byte{0x50 | byte(h3Index(name, ""))}
}

// appendHead appends what stands before a body of size bytes: the HEADERS frame
// with section and the lines that differ, and the header of the DATA frame.
func appendHead(dst, section []byte, size int, maxAge uint32, now time.Time) []byte {
	var number [20]byte
	var own [h3HeadBytes]byte
	lines := appendLine(own[:0], h3Length, "", strconv.AppendUint(number[:0], uint64(size), 10))
	if maxAge == 0 {
		lines = append(lines, h3NoStore...)
	} else {
		lines = appendLine(lines, h3MaxAge, "max-age=", strconv.AppendUint(number[:0], uint64(maxAge), 10))
	}
	lines = append(lines, dateLine(now)...)
	dst = quicvarint.Append(append(dst, h3Headers), uint64(len(section)+len(lines)))
	dst = append(append(dst, section...), lines...)
	return quicvarint.Append(append(dst, h3Data), uint64(size))
}

// appendLine appends a line of a name that h3Named made and a value below 127
// bytes, given in two parts.
func appendLine(dst, name []byte, value string, more []byte) []byte {
	dst = append(append(dst, name...), byte(len(value)+len(more)))
	return append(append(dst, value...), more...)
}

// datedLine is the line date for one second, which RFC 9110 §6.6.1 asks for.
type datedLine struct {
	second int64
	line   []byte
}

var dated atomic.Pointer[datedLine]

func dateLine(now time.Time) []byte {
	second := now.Unix()
	if d := dated.Load(); d != nil && d.second == second {
		return d.line
	}
	d := &datedLine{second, appendLine(nil, h3Date, now.UTC().Format(http.TimeFormat), nil)}
	dated.Store(d)
	return d.line
}

// appendRefusal appends the whole response that tells the client why there is
// no answer, as refuse does.
func appendRefusal(dst []byte, e *httpError, now time.Time) []byte {
	section := h3Section(e.status, plainText[0])
	if e.status == http.StatusTooManyRequests {
		section = append(section, h3RetryAfter...)
	}
	dst = appendHead(dst, section, len(e.reason)+1, 0, now)
	return append(append(dst, e.reason...), '\n')
}
