package resolver

import "strings"

// entry is one entry of a master file (RFC 1035 §5.1): a directive or a
// record, which parentheses may spread over several lines.
type entry struct {
	line   int    // of its first token
	column int    // of its first token; 1 is the first byte of the line
	owner  string // the first token; empty when the line begins with a blank
	rest   string // what follows it, comments and line ends replaced by blanks
	raw    string // the entry's first line as it stands in the file
}

// splitEntries reads the entries of a master file. Quotes and parentheses that
// are never closed are the only errors it knows; their position is returned.
func splitEntries(text string) (entries []entry, errLine int, reason string) {
	line := 1
	for len(text) > 0 {
		e, lines, after, reason := cutEntry(text)
		if reason != "" {
			return entries, line, reason
		}
		if strings.TrimSpace(e.owner+e.rest) != "" {
			e.line = line
			entries = append(entries, e)
		}
		line += lines
		text = text[after:]
	}
	return entries, 0, ""
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
