package config

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// value is one value that an operator wrote: in the file, or by a flag.
type value struct {
	node *yaml.Node // never an alias
	key  string     // the setting that it is for, or is a part of
	at   Position
	load *loader
}

// of is the value of node, which lies inside v and belongs to key.
func (v value) of(node *yaml.Node, key string) value {
	at := v.at
	if node.Line > 0 {
		at.Line, at.Column = node.Line, node.Column
	}
	// An alias stands for what it names; the place that matters is its own.
	// Following it can't take long: nothing below copies a value, and the
	// depth is that of the table, however the file nests its anchors.
	for node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	return value{node: node, key: key, at: at, load: v.load}
}

// problem reports a mistake at v.
func (v value) problem(reason, hint string) {
	v.load.problems = append(v.load.problems, Problem{Position: v.at, Key: v.key, Reason: reason, Hint: hint})
}

// wrong reports that v is not what is expected there.
func (v value) wrong(expected, hint string) {
	v.problem("found "+v.found()+", expected "+expected, hint)
}

// null tells whether the value was left out.
func (v value) null() bool {
	return v.node.Kind == yaml.ScalarNode && v.node.ShortTag() == "!!null"
}

// found describes v for a message.
func (v value) found() string {
	switch {
	case v.node.Kind == yaml.SequenceNode:
		return "a list"
	case v.node.Kind == yaml.MappingNode:
		return "a mapping"
	case v.null():
		return "nothing"
	}
	return quote(v.node.Value)
}

// maxQuoted is how much of a wrong value a message repeats, in characters.
const maxQuoted = 60

// quote makes text fit for a message: one line, no control characters.
func quote(text string) string {
	if r := []rune(text); len(r) > maxQuoted {
		text = string(r[:maxQuoted]) + "…"
	}
	return strconv.Quote(text)
}

// asItem is the single value v as a hint writes it into a list or an object:
// bare when that means the same, else quoted.
func (v value) asItem() string {
	if len(v.node.Value) <= maxQuoted && needsNoQuotes(v.node.Value) {
		return v.node.Value
	}
	return v.found()
}

// scalar is the text of v; what is no single value is reported.
func (v value) scalar(expected string) (string, bool) {
	switch {
	case v.node.Kind != yaml.ScalarNode:
		v.wrong(expected, "")
		return "", false
	case v.null():
		v.wrong(expected, "give a value, or take the key out")
		return "", false
	case v.node.Style&yaml.TaggedStyle != 0 && !strings.HasPrefix(v.node.ShortTag(), "!!"):
		v.problem("found the tag "+quote(v.node.Tag), "settings have no tags: take it out")
		return "", false
	}
	return v.node.Value, true
}

// quoted tells whether the value stands in quotes, or is a block of text.
func (v value) quoted() bool {
	const styles = yaml.DoubleQuotedStyle | yaml.SingleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle
	return v.node.Style&styles != 0
}

// entries calls each with every key of the mapping v and its value, in the
// order of the file. Keys that are no plain text, and keys that were there
// before, are reported and left out.
func (v value) entries(each func(name string, key, val value)) {
	seen := map[string]int{}
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		key := v.of(v.node.Content[i], v.key)
		name := key.node.Value
		key.key = join(v.key, name)
		line, again := seen[name]
		switch {
		case key.node.Kind != yaml.ScalarNode || key.null():
			key.key = v.key
			key.problem("found "+key.found()+" as a key, expected a name", "")
		case name == "<<" && !key.quoted():
			key.key = v.key
			key.problem("found a merge key (<<)", "write the keys out")
		case again:
			key.problem(fmt.Sprintf("found a second time, it is already on line %d", line), "keep one of them")
		default:
			seen[name] = key.at.Line
			each(name, key, v.of(v.node.Content[i+1], key.key))
		}
	}
}

func join(section, name string) string {
	if section == "" {
		return name
	}
	return section + "." + name
}
