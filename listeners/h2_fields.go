package listeners

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http2/hpack"
)

// Indices of HPACK's static table (RFC 7541 Appendix A), 0 for what it lacks.
const (
	hpackStatus200     = 8
	hpackStatus        = 8 // as a name
	hpackAnyOrigin     = 20
	hpackCacheControl  = 24
	hpackContentLength = 28
	hpackContentType   = 31
	hpackDate          = 33
	hpackFirstDynamic  = 62
	hpackTableEmpty    = 0x20 // a size update to nothing (RFC 7541 §6.3)
	hpackIndexed       = 0x80
	hpackIndexing      = 0x40 // a literal that goes into the table
	hpackPlain         = 0x00 // a literal that does not
	hpackDateBytes     = 2 + 1 + dateBytes
	hpackLengthBytes   = 2 + 1 + 5                    // of at most 65535
	hpackMaxAgeBytes   = 2 + 1 + len("max-age=") + 10 // of a uint32
	h2VariableBytes    = hpackDateBytes + hpackLengthBytes + hpackMaxAgeBytes
	dateBytes          = len(http.TimeFormat)
)

// h2Fields are the header fields of answers that are the same for all of them,
// encoded in advance. The first answer on a connection brings them into the
// client's HPACK table, and from then on each is one byte.
type h2Fields struct {
	first, again []byte
	plain        []byte // for a client that has no table
}

// newH2Fields encodes :status 200 and the fields of a DNS message, in the order
// in which a client's table gets them.
func newH2Fields(altSvc []string) (f h2Fields) {
	type field struct {
		index       int
		name, value string
	}
	fields := []field{
		{hpackContentType, "", dnsMessage[0]},
		{hpackAnyOrigin, "", anyOrigin[0]},
		{0, "x-content-type-options", noSniff[0]},
	}
	for _, value := range altSvc {
		fields = append(fields, field{0, "alt-svc", value})
	}
	for _, block := range []*[]byte{&f.first, &f.again, &f.plain} {
		*block = append(*block, hpackIndexed|hpackStatus200)
	}
	for i, field := range fields {
		f.first = appendField(f.first, hpackIndexing, field.index, field.name, field.value)
		f.plain = appendField(f.plain, hpackPlain, field.index, field.name, field.value)
		f.again = append(f.again, byte(hpackIndexed|(hpackFirstDynamic+len(fields)-1-i)))
	}
	return f
}

// most is what the header of an answer takes at most.
func (f *h2Fields) most() int { return 1 + max(len(f.first), len(f.plain)) + h2VariableBytes }

// appendField appends a literal field, its name by index or, with index 0, as
// it stands.
func appendField(dst []byte, kind byte, index int, name, value string) []byte {
	prefix := uint(4)
	if kind == hpackIndexing {
		prefix = 6
	}
	dst = appendInt(dst, kind, prefix, index)
	if index == 0 {
		dst = appendString(dst, name)
	}
	return appendString(dst, value)
}

// appendInt appends an integer behind the bits of kind (RFC 7541 §5.1).
func appendInt(dst []byte, kind byte, prefix uint, n int) []byte {
	most := 1<<prefix - 1
	if n < most {
		return append(dst, kind|byte(n))
	}
	dst = append(dst, kind|byte(most))
	for n -= most; n >= 0x80; n >>= 7 {
		dst = append(dst, byte(n)|0x80)
	}
	return append(dst, byte(n))
}

// appendString appends a string, with Huffman's code when that is shorter.
func appendString(dst []byte, s string) []byte {
	if n := hpack.HuffmanEncodeLength(s); n < uint64(len(s)) {
		return hpack.AppendHuffmanString(appendInt(dst, 0x80, 7, int(n)), s)
	}
	return append(appendInt(dst, 0, 7, len(s)), s...)
}

// h2Continue is the header block of 100 (RFC 9110 §15.2.1).
var h2Continue = appendField(nil, hpackPlain, hpackStatus, "", "100")

// appendMessageHeader appends the header block of an answer with n bytes of DNS
// message. It is no longer than most says.
func (c *h2Conn) appendMessageHeader(dst []byte, n int, maxAge uint32) []byte {
	dst = c.appendTableSize(dst)
	f := &c.server.fields
	switch {
	case c.plain:
		dst = append(dst, f.plain...)
	case c.taught:
		dst = append(dst, f.again...)
	default:
		c.taught = true
		dst = append(dst, f.first...)
	}
	dst = appendInt(dst, hpackPlain, 4, hpackContentLength)
	dst = append(dst, 0)
	from := len(dst)
	dst = strconv.AppendUint(dst, uint64(n), 10)
	dst[from-1] = byte(len(dst) - from)

	dst = appendInt(dst, hpackPlain, 4, hpackCacheControl)
	dst = append(dst, 0)
	from = len(dst)
	if maxAge == 0 {
		dst = append(dst, noStore[0]...)
	} else {
		dst = append(dst, "max-age="...)
		dst = strconv.AppendUint(dst, uint64(maxAge), 10)
	}
	dst[from-1] = byte(len(dst) - from)
	return c.appendDate(dst)
}

// appendTableSize tells the client's decoder that its table is empty from now
// on, if it asked for a smaller one (RFC 7541 §4.2).
func (c *h2Conn) appendTableSize(dst []byte) []byte {
	if c.shrink {
		c.shrink = false
		dst = append(dst, hpackTableEmpty)
	}
	return dst
}

// appendDate appends the date (RFC 9110 §6.6.1), which is written out once a
// second for each of the pooled works.
func (c *h2Conn) appendDate(dst []byte) []byte {
	w := c.work
	if now := c.received.Unix(); now != w.at {
		w.at = now
		c.received.UTC().AppendFormat(w.date[:0], http.TimeFormat)
	}
	dst = appendInt(dst, hpackPlain, 4, hpackDate)
	return append(append(dst, byte(dateBytes)), w.date[:]...)
}

// appendHeader appends any header with its status. What the client's table holds
// is not used: these answers are rare.
func (c *h2Conn) appendHeader(dst []byte, status int, header http.Header) []byte {
	dst = c.appendTableSize(dst)
	dst = appendField(dst, hpackPlain, hpackStatus, "", strconv.Itoa(status))
	names := make([]string, 0, len(header))
	for name := range header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range header[name] {
			dst = appendField(dst, hpackPlain, 0, strings.ToLower(name), value)
		}
	}
	if header["Date"] == nil {
		dst = c.appendDate(dst)
	}
	return dst
}
