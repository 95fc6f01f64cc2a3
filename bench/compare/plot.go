//go:build linux

package main

import (
	"encoding/xml"
	"fmt"
	"strings"
)

// The measures of a plot, in pixels.
const (
	plotWidth  = 720
	barsFrom   = 120 // left of it the names stand
	barsTo     = 640 // right of it the figure of the longest bar
	barHeight  = 22
	barsBegin  = 48 // below the title
	barsMargin = 12
)

// plot draws a bar for each server, as long as an answer's CPU time: shorter is
// better. The colours keep their contrast on white and on a dark page.
func plot(title string, rows []row) string {
	longest := 0.0
	for _, w := range rows {
		longest = max(longest, w.cpu)
	}
	height := barsBegin + len(rows)*barHeight + barsMargin
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img" font-family="system-ui, sans-serif" font-size="13">
<title>%s: CPU microseconds of an answer, less is better</title>
<rect width="%[1]d" height="%[2]d" fill="#ffffff"/>
<text x="10" y="20" font-weight="bold" fill="#1c2733">%[3]s</text>
<text x="10" y="38" fill="#5b6874">CPU microseconds of an answer, less is better</text>
`, plotWidth, height, escaped(title))
	for i, w := range rows {
		colour, weight := "#8fa3b5", "normal"
		switch w.server {
		case ours:
			colour, weight = "#0b7a53", "bold"
		case "echo":
			colour = "#d9d2c3"
		}
		y := barsBegin + i*barHeight
		length := (barsTo - barsFrom) * w.cpu / longest
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end" font-weight="%s" fill="#1c2733">%s</text>
<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>
<text x="%.1f" y="%d" fill="#1c2733">%s</text>
`, barsFrom-8, y+15, weight, escaped(w.server), barsFrom, y+3, length, barHeight-6, colour, barsFrom+length+6, y+15, significant(w.cpu))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func escaped(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a Builder takes everything
	return b.String()
}
