package resolver

import (
	"bytes"
	"strings"
)

// entry is one entry of a master file (RFC 1035 §5.1): a directive or a
// record, which parentheses may spread over several lines.
type entry struct {
	line   int    // of its first token
	column int    // of its first token; 1 is the first byte of the line
	owner  string // the first token; empty when the line begins with a blank
	rest   string // what follows it, comments and line ends replaced by blanks
	raw    string // the entry's first line as it stands in the file
}

// Bounds on a master file, so that a file of something else, which somebody put
// in a zone's place, costs a line in the log and not the memory of the machine.
const (
	// MaxLineBytes is how long an entry and a line may be. The longest record
	// has 65,535 bytes of data, which are 256 KiB when each is written \DDD, the
	// longest form there is; the rest is for blanks and comments.
	MaxLineBytes = 1 << 20

	// maxMistakes is how many mistakes are told of one file. Each takes a hundred
	// times the memory of the shortest line with one.
	maxMistakes = 10_000
)

const (
	longLine  = "a line longer than 1 MiB; is this a text of lines?"
	longEntry = "a record longer than 1 MiB; is a parenthesis closed too late?"
)

// eachEntry calls take for the entries of a master file until it returns false.
// Quotes and parentheses that are never closed and what is too long are the only
// errors it knows; their position is returned.
func eachEntry(text string, take func(*entry) bool) (errLine int, reason string) {
	line := 1
	for len(text) > 0 {
		e, lines, after, reason := cutEntry(text)
		if reason != "" {
			return line, reason
		}
		if strings.TrimSpace(e.owner+e.rest) != "" {
			e.line = line
			if !take(&e) {
				break
			}
		}
		line += lines
		text = text[after:]
	}
	return 0, ""
}

// longLineIn is the number of the first line of text that is too long, 0 for none.
func longLineIn(text []byte) (number int) {
	for number = 1; len(text) > MaxLineBytes; number++ {
		end := bytes.IndexByte(text[:MaxLineBytes+1], '\n')
		if end < 0 {
			return number
		}
		text = text[end+1:]
	}
	return 0
}

// cutEntry reads the entry that text begins with. It returns how many lines it
// takes and where the next one begins.
func cutEntry(text string) (e entry, lines, after int, reason string) {
	e.raw, _, _ = strings.Cut(text, "\n")
	var b strings.Builder
	depth, quoted := 0, false
	i := 0
scan:
	for ; i < len(text); i++ {
		if b.Len() > MaxLineBytes {
			return e, 0, 0, longEntry
		}
		c := text[i]
		switch {
		case c == '\\' && i+1 < len(text) && text[i+1] != '\n':
			b.WriteByte(c)
			i++
			b.WriteByte(text[i])
		case c == '\n' && quoted:
			return e, 0, 0, `a quoted text does not end on its line; write the closing "`
		case c == '\n':
			lines++
			if depth == 0 {
				i++
				break scan
			}
			b.WriteByte(' ')
		case c == '"':
			quoted = !quoted
			b.WriteByte(c)
		case quoted:
			b.WriteByte(c)
		case c == ';':
			for i+1 < len(text) && text[i+1] != '\n' {
				i++
			}
		case c == '(':
			depth++
			b.WriteByte(' ')
		case c == ')':
			if depth--; depth < 0 {
				return e, 0, 0, "a closing parenthesis without an opening one"
			}
			b.WriteByte(' ')
		case c == '\r':
		default:
			b.WriteByte(c)
		}
	}
	switch {
	case quoted:
		return e, 0, 0, `a quoted text does not end on its line; write the closing "`
	case depth > 0:
		return e, 0, 0, "an opening parenthesis without a closing one"
	}
	e.split(b.String())
	return e, lines, i, ""
}

// split divides an entry into its first token and the rest. An entry that
// begins with a blank has no owner.
func (e *entry) split(text string) {
	e.column = 1
	if text == "" || text[0] == ' ' || text[0] == '\t' {
		e.rest = text
		e.column += len(text) - len(strings.TrimLeft(text, " \t"))
		return
	}
	end := strings.IndexAny(text, " \t")
	if end < 0 {
		end = len(text)
	}
	e.owner, e.rest = text[:end], text[end:]
}
