package listeners

import (
	"bytes"
	"encoding/base64"
	"strconv"

	"github.com/quic-go/quic-go/quicvarint"
)

// A DNS query over HTTP/3 is nearly always the same few lines, and all of it is
// in one packet. The functions here recognise that form, and nothing that h3Stream
// and dohHandler would answer in another way than h3Conn does. Whatever else
// comes, right or wrong, goes to them as it is.

// Frames of a request (RFC 9114 §7.2).
const (
	h3Data    = 0x0
	h3Headers = 0x1
)

// h3Lines is how many lines a header may have here. With no more, one of
// a packet's length stays below maxHeaderBytes when it is unpacked.
const h3Lines = 64

// plainMessage returns the DNS message in stream, a whole request, or nil when
// its form is not the usual one. The message lies in stream or x's inbox.
func plainMessage(stream []byte, x *exchange) []byte {
	section, rest, ok := h3Frame(stream, h3Headers)
	if !ok {
		return nil
	}
	header, ok := plainHeader(section, &x.fields)
	if !ok {
		return nil
	}
	if !header.post {
		if len(rest) > 0 {
			return nil
		}
		return textMessage(header.dns, x)
	}
	body, rest, ok := h3Frame(rest, h3Data)
	if !ok || len(rest) > 0 || len(body) == 0 || header.length >= 0 && header.length != len(body) {
		return nil
	}
	return body
}

// h3Frame takes a frame of one kind off stream.
func h3Frame(stream []byte, kind byte) (payload, rest []byte, ok bool) {
	if len(stream) < 2 || stream[0] != kind {
		return nil, nil, false
	}
	length, n, err := quicvarint.Parse(stream[1:])
	stream = stream[1+n:]
	if err != nil || length > uint64(len(stream)) {
		return nil, nil, false
	}
	return stream[:length:length], stream[length:], true
}

// textMessage decodes the message of a GET, if it is no longer than x's inbox.
func textMessage(text []byte, x *exchange) []byte {
	coding, space := base64.RawURLEncoding.Strict(), x.inbox.space()
	if len(text) == 0 || coding.DecodedLen(len(text)) > len(space) {
		return nil
	}
	n, err := coding.Decode(space, text)
	if err != nil || bytes.ContainsAny(text, "\r\n") { // which the decoder skips
		return nil
	}
	return space[:n]
}

// h3Header is what the header of a usual request says.
type h3Header struct {
	post   bool
	dns    []byte // value of a GET's only parameter
	length int    // of a POST's body; -1: not said
}

// Lines that a header has at most once.
const (
	sawMethod = 1 << iota
	sawScheme
	sawAuthority
	sawPath
	sawType
	sawLength
	sawOthers // every other line behind the pseudo-header

	sawPseudo = sawMethod | sawScheme | sawAuthority | sawPath // RFC 9114 §4.3.1
)

// plainHeader reads the header of a usual request: a GET of dohPath with the
// parameter dns alone, or a POST of application/dns-message.
func plainHeader(section []byte, fields *h3Fields) (h h3Header, ok bool) {
	if !fields.begin(section) {
		return h, false
	}
	h.length = -1
	seen := 0
	for n := 0; len(fields.rest) > 0; n++ {
		line, ok := fields.next()
		if !ok || n == h3Lines || !validValue(line.value) {
			return h, false
		}
		kind, ok := h.take(line)
		if !ok || kind != sawOthers && seen&kind != 0 || kind&sawPseudo != 0 && seen&^sawPseudo != 0 {
			return h, false
		}
		seen |= kind
	}
	// A GET with the headers of a body, and the other way round, is odd.
	switch seen &^ sawOthers {
	case sawPseudo:
		return h, !h.post && h.dns != nil
	case sawPseudo | sawType, sawPseudo | sawType | sawLength:
		return h, h.post && h.dns == nil
	default:
		return h, false
	}
}

// take notes what line says, which must be the usual thing, and returns what
// line it is.
func (h *h3Header) take(line h3Line) (kind int, ok bool) {
	switch string(line.name) {
	case ":method":
		h.post = string(line.value) == "POST"
		return sawMethod, h.post || string(line.value) == "GET"
	case ":scheme":
		return sawScheme, string(line.value) == "https"
	case ":authority":
		return sawAuthority, len(line.value) > 0 && bytes.IndexByte(line.value, '@') < 0
	case ":path":
		h.dns, ok = bytes.CutPrefix(line.value, []byte(dohPath+"?dns="))
		if !ok {
			h.dns = nil
		}
		return sawPath, ok || string(line.value) == dohPath
	case "content-type":
		return sawType, string(line.value) == dnsMessage[0]
	case "content-length":
		length, err := strconv.ParseUint(string(line.value), 10, 16)
		h.length = int(length)
		return sawLength, err == nil
	// What means something to webFields or postMessage.
	case "host", "te", "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "content-encoding", "trailer", "expect":
		return 0, false
	}
	return sawOthers, validName(line.name)
}

// validName tells whether name is a token without upper case (RFC 9114 §4.2).
// Names of pseudo-header fields are not.
func validName(name []byte) bool {
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false // there are more characters in a token, but not in names
		}
	}
	return len(name) > 0
}

// validValue tells whether value may be a field's (RFC 9110 §5.5).
func validValue(value []byte) bool {
	for _, c := range value {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
