package config

import (
	"fmt"
	"strings"
)

// Sample is a settings file with every setting commented out at its default,
// below what it means. Only what has no default is set, to an example.
func Sample() string {
	var b strings.Builder
	b.WriteString(`# Settings of domain-park. Every setting stands at its default, commented out.
# Times are written like 30s, 1h30m or 2d; paths are relative to this file.
# "domain-park check --config FILE" tells all that is wrong with a file.
# A running server reads it anew at SIGHUP, but for what is marked so.
`)
	var above *option
	for i := range options {
		o := &options[i]
		if o.apart(above) {
			b.WriteByte('\n')
		}
		o.sample(&b)
		above = o
	}
	return b.String()
}

// apart tells whether an empty line stands between o and the row above it.
func (o *option) apart(above *option) bool {
	switch {
	case o.parent() == "":
		return true
	case o.section():
		return above.key != o.parent()
	}
	return !above.section() && above.parent() != o.parent()
}

// sampleWidth is where the lines of explanations end.
const sampleWidth = 100

func (o *option) sample(b *strings.Builder) {
	indent := strings.Repeat("  ", strings.Count(o.key, "."))
	line := indent + "#"
	help := o.help
	if o.restart {
		help += " A change takes a restart."
	}
	for word := range strings.FieldsSeq(help) {
		if len(line)+1+len(word) > sampleWidth {
			b.WriteString(line + "\n")
			line = indent + "#"
		}
		line += " " + word
	}
	b.WriteString(line + "\n" + indent)
	switch {
	case o.section():
		fmt.Fprintf(b, "%s:\n", o.name())
	case o.required:
		fmt.Fprintf(b, "%s:%s\n", o.name(), o.example)
	default:
		fmt.Fprintf(b, "#%s: %s\n", o.name(), o.def)
	}
}
