package config

import (
	"fmt"
	"strings"
)

// Manual is the manual's page of the settings file, domain-park.yaml(5), in the
// language of man(7).
func Manual() string {
	var b strings.Builder
	b.WriteString(`.TH DOMAIN-PARK.YAML 5 "" "domain-park" "DNS servers"
.SH NAME
domain\-park.yaml \- settings of domain\-park
.SH DESCRIPTION
A file in YAML. What is not in it stands at its default, and only the name servers have none. Times are written
like 30s, 1h30m or 2d; paths are relative to the file. A key is shown here with those of the sections that it
stands in, joined by dots: \fBlisten.udp\fR is \fIudp\fR in the section \fIlisten\fR.
.PP
\fBdomain\-park check \-\-config\fR \fIFILE\fR tells all that is wrong with a file, and
\fBdomain\-park check \-\-sample\fR prints one with every setting in it.
.SH SETTINGS
`)
	for i := range options {
		options[i].manual(&b)
	}
	b.WriteString(".SH SEE ALSO\n.BR domain\\-park (1)\n")
	return b.String()
}

// manual writes o's entry. A top-level section begins a part of the page.
func (o *option) manual(b *strings.Builder) {
	if o.section() && o.parent() == "" {
		fmt.Fprintf(b, ".SS %s\n%s\n", Roff(o.key), Roff(o.help))
		return
	}
	if !o.section() && o.parent() == "" {
		fmt.Fprintf(b, ".SS %s\n", Roff(o.key))
	} else {
		fmt.Fprintf(b, ".TP\n\\fB%s\\fR\n", Roff(o.key))
	}
	b.WriteString(Roff(o.help) + "\n")
	switch {
	case o.section():
	case o.required:
		b.WriteString("Required. For example:\n.PP\n.EX\n")
		for line := range strings.Lines(o.name() + ":" + o.example) {
			b.WriteString(Roff(line) + "\n")
		}
		b.WriteString(".EE\n")
	case o.value.expected != "":
		fmt.Fprintf(b, "Takes %s. Default: %s\n", Roff(o.value.expected), Roff(o.def))
	default:
		fmt.Fprintf(b, "Default: %s\n", Roff(o.def))
	}
}

// roffEscapes are what troff would take for something else: a backslash begins
// a request, and a plain hyphen, quote or caret may be printed as another
// character than the one to type.
var roffEscapes = strings.NewReplacer(`\`, `\e`, `-`, `\-`, `'`, `\(aq`, "`", `\(ga`, `^`, `\(ha`, `~`, `\(ti`, "\n", "", `…`, `...`, `≥`, `>=`)

// Roff is a line of text as man(7) takes it.
func Roff(line string) string {
	out := roffEscapes.Replace(line)
	if strings.HasPrefix(out, ".") {
		return `\&` + out
	}
	return out
}
