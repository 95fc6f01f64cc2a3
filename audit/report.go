package audit

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Verdict is what a check comes to. Greater is worse.
type Verdict uint8

// The verdicts.
const (
	Info Verdict = iota // good to know, neither right nor wrong
	Pass
	Warn // protects, but not everybody or not for long
	Fail // does not protect, or does not work
)

var verdictNames = [...]string{"info", "pass", "warn", "fail"}

// String is the word that reports use.
func (v Verdict) String() string {
	if int(v) < len(verdictNames) {
		return verdictNames[v]
	}
	return "unknown"
}

// MarshalText implements encoding.TextMarshaler.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// Row is one line of a report. Found may quote what servers sent: it is one
// line of printable text.
type Row struct {
	Check   string  `json:"check"`
	Name    string  `json:"name"` // what was asked for; a * stands for a random label
	Verdict Verdict `json:"verdict"`
	Found   string  `json:"found"`
	Advice  string  `json:"advice,omitempty"` // what to do; empty unless the verdict is Warn or Fail
}

// Report is what is known about one domain.
type Report struct {
	Domain  string  `json:"domain"`
	Verdict Verdict `json:"verdict"` // the worst of the rows, Pass at least
	Rows    []Row   `json:"rows"`
}

// add adds a row and makes what servers sent fit to print.
func (r *Report) add(row Row) {
	if row.Verdict < Warn {
		row.Advice = ""
	}
	row.Found, row.Advice = printable(row.Found), printable(row.Advice)
	r.Rows = append(r.Rows, row)
	r.Verdict = max(r.Verdict, row.Verdict)
}

// Count tells how many rows have each verdict.
func (r *Report) Count() (count [4]int) {
	for _, row := range r.Rows {
		count[row.Verdict]++
	}
	return count
}

// maxFound bounds a cell, in characters: a hostile server's answer is as long
// as it likes.
const maxFound = 400

// printable makes text fit for a terminal and for one line of a table: control
// characters, which move cursors and set colours, and those that turn the
// direction of writing, are spelled out.
func printable(text string) string {
	var b strings.Builder
	n := 0
	for i, r := range text {
		if n++; n > maxFound {
			b.WriteString("…")
			break
		}
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError)):
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// maxExcerpt bounds one text among several in a cell, in bytes.
const maxExcerpt = 120

// excerpt is the beginning of a text.
func excerpt(text string) string {
	if len(text) <= maxExcerpt {
		return text
	}
	return strings.ToValidUTF8(text[:maxExcerpt], "") + "…"
}
