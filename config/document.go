package config

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

// maxDepth is how deep a file may nest, in lists and mappings; settings take five.
const maxDepth = 32

// parse reads the one YAML document in text and returns its top mapping, or
// nil when it is empty or when what is wrong has been reported.
func (l *loader) parse(text string) *yaml.Node {
	if at, reason := unreadable(text); reason != "" {
		l.syntax(at.Line, at.Column, reason, "")
		return nil
	}
	yl, err := yaml.NewLoader(strings.NewReader(text), yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(maxDepth))))
	var doc, next yaml.Node
	if err == nil {
		err = yl.Load(&doc)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		err = yl.Load(&next)
	}
	switch {
	case err == nil:
		l.syntax(next.Line, next.Column, "found a second YAML document (---), expected one", "")
		return nil
	case !errors.Is(err, io.EOF):
		l.notYAML(text, err)
		return nil
	}
	return l.top(&doc)
}

// top is the mapping that the document consists of.
func (l *loader) top(doc *yaml.Node) *yaml.Node {
	v := value{load: l, at: Position{File: l.file}}.of(doc.Content[0], "")
	if v.null() {
		return nil
	}
	if v.node.Kind != yaml.MappingNode {
		v.wrong("settings as key: value", "")
		return nil
	}
	return v.node
}

// syntax reports a mistake that is none of a key.
func (l *loader) syntax(line, column int, reason, hint string) {
	l.problems = append(l.problems, Problem{Position: Position{l.file, line, column}, Reason: reason, Hint: hint})
}

// notYAML reports the parser's error in a settings file's words.
func (l *loader) notYAML(text string, err error) {
	var le *yaml.LoadError
	if !errors.As(err, &le) {
		l.syntax(0, 0, "this is not YAML: "+err.Error(), "")
		return
	}
	reason, hint := "this is not YAML: "+le.Message, ""
	if le.ContextMsg != "" {
		reason += " " + le.ContextMsg
		if from := le.ContextMark.Line; from > 0 && from < le.Mark.Line {
			reason += fmt.Sprintf(" that begins on line %d", from)
		}
	}
	switch c := characterAt(text, le.Mark.Line, le.Mark.Column); {
	case c == '\t':
		reason, hint = "found a tab", "YAML indents with spaces"
	case strings.ContainsRune("@`%*&!", c):
		hint = "put quotes around a text that begins with " + string(c)
	case strings.HasPrefix(le.Message, "mapping values"):
		hint = "indent it like the line above, or put quotes around a text with a colon"
	}
	l.syntax(le.Mark.Line, le.Mark.Column, reason, hint)
}

// characterAt is the character at a position of text, or 0.
func characterAt(text string, line, column int) rune {
	for range line - 1 {
		_, text, _ = strings.Cut(text, "\n")
	}
	for _, r := range text {
		if column--; column == 0 {
			return r
		}
	}
	return 0
}

// unreadable finds what the YAML parser would reject without a position.
func unreadable(text string) (at Position, reason string) {
	at = Position{Line: 1, Column: 1}
	for i, r := range text {
		switch {
		case r == '\n':
			at.Line, at.Column = at.Line+1, 1
			continue
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError)):
			return at, "found a byte that is not UTF-8, expected a text file"
		case r < ' ' && r != '\t' && r != '\r', r == 0x7f:
			return at, "found the control character " + quote(string(r)) + ", expected a text file"
		}
		at.Column++
	}
	return at, ""
}
