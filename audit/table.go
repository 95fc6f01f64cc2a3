package audit

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Style says how a report is written for people.
type Style struct {
	Colour bool // by the escape sequences of ECMA-48
	Brief  bool // only rows that warn or fail, and nothing of domains without
}

var colours = map[Verdict]string{Info: "\x1b[2m", Pass: "\x1b[32m", Warn: "\x1b[33m", Fail: "\x1b[1;31m"}

// Write writes the report as a table: a line for the domain, one for each row,
// and below a row what to do about it.
func (r *Report) Write(w io.Writer, style Style) error {
	var b strings.Builder
	if !style.Brief || r.Verdict > Pass {
		r.table(&b, style)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) table(b *strings.Builder, style Style) {
	fmt.Fprintf(b, "%s: %s (%s)\n", r.Domain, style.verdict(r.Verdict, 0), r.counted())
	var check, name int
	for _, row := range r.Rows {
		check, name = max(check, utf8.RuneCountInString(row.Check)), max(name, utf8.RuneCountInString(row.Name))
	}
	for _, row := range r.Rows {
		if style.Brief && row.Verdict < Warn {
			continue
		}
		fmt.Fprintf(b, "  %s  %-*s  %-*s  %s\n", style.verdict(row.Verdict, 4), check, row.Check, name, row.Name, row.Found)
		if row.Advice != "" {
			fmt.Fprintf(b, "  %4s  %*s  -> %s\n", "", check, "", row.Advice)
		}
	}
}

// verdict is a verdict's word, coloured, in a field of width.
func (s Style) verdict(v Verdict, width int) string {
	word := fmt.Sprintf("%-*s", width, v)
	if !s.Colour {
		return word
	}
	return colours[v] + word + "\x1b[0m"
}

// counted is how many rows have which verdict.
func (r *Report) counted() string {
	count := r.Count()
	var parts []string
	for v := Fail; ; v-- {
		if count[v] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count[v], v))
		}
		if v == Info {
			return strings.Join(parts, ", ")
		}
	}
}
