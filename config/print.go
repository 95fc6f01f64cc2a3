package config

import (
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Print is a settings file with every setting at the value that is in force,
// and behind each where it comes from: the default, a line of the file, or a
// flag. Secrets are not in it.
func (s *Settings) Print() string {
	var b strings.Builder
	b.WriteString("# Every setting, with its origin. Paths are relative to the file that they stand in.\n")
	for i := range options {
		o := &options[i]
		b.WriteString(strings.Repeat("  ", strings.Count(o.key, ".")))
		if o.section() {
			fmt.Fprintf(&b, "%s:\n", o.name())
			continue
		}
		value, origin := s.printed(o)
		fmt.Fprintf(&b, "%s: %s  # %s\n", o.name(), value, origin)
	}
	return b.String()
}

// printed is the value of one setting, in a line, and where it comes from.
func (s *Settings) printed(o *option) (value, origin string) {
	at, given := s.given[o.key]
	if !given {
		return o.def, "default"
	}
	at.Column = 0
	if o.secret && s.written[o.key].Value != "" {
		return `""`, at.String() + ", not shown"
	}
	return inLine(s.written[o.key]), at.String()
}

// inLine is a node in YAML's flow style.
func inLine(node *yaml.Node) string {
	var parts []string
	switch node.Kind {
	case yaml.AliasNode:
		return inLine(node.Alias)
	case yaml.SequenceNode:
		for _, n := range node.Content {
			parts = append(parts, inLine(n))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			parts = append(parts, inLine(node.Content[i])+": "+inLine(node.Content[i+1]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	if (value{node: node}).quoted() || !needsNoQuotes(node.Value) {
		text, err := json.Marshal(node.Value) // a JSON string is one of YAML
		if err != nil {
			panic("config: a string can't be written: " + err.Error())
		}
		return string(text)
	}
	return node.Value
}

// needsNoQuotes tells whether a text means the same without quotes, wherever it stands.
func needsNoQuotes(text string) bool {
	return text != "" && strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/+-") == "" &&
		text[0] != '-' && text[0] != '.'
}
