package config

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v4"
)

// list is the kind of a list of least to most elements. Elements that same
// names alike are reported as duplicates.
func list[T any](of kind[T], least, most int, same func(T) string) kind[[]T] {
	expected := "a list, each " + of.expected
	if least > 0 {
		expected = fmt.Sprintf("a list of %d to %d, each %s", least, most, of.expected)
	}
	return kind[[]T]{expected: expected, read: func(v value) ([]T, bool) {
		if v.node.Kind != yaml.SequenceNode {
			v.noList(expected, of.object)
			return nil, false
		}
		if n := len(v.node.Content); n < least || n > most {
			v.problem(fmt.Sprintf("found %d, expected %s", n, bounds(least, most)), "")
			return nil, false
		}
		return elements(v, of, same)
	}}
}

// noList reports a value that is no list, and how it would be one.
func (v value) noList(expected string, ofObjects bool) {
	switch {
	case v.node.Kind != yaml.ScalarNode || ofObjects:
		v.wrong(expected, "")
	case v.null():
		v.wrong(expected, "[] is an empty list")
	default:
		v.wrong(expected, "write ["+v.asItem()+"]")
	}
}

func elements[T any](v value, of kind[T], same func(T) string) ([]T, bool) {
	out := make([]T, 0, len(v.node.Content))
	seen := make(map[string]int, len(v.node.Content))
	good := true
	for i, node := range v.node.Content {
		e := v.of(node, v.key)
		x, ok := of.read(e)
		if !ok {
			good = false
			continue
		}
		name := same(x)
		if first, again := seen[name]; again {
			e.problem(fmt.Sprintf("found %s again, it is already number %d of the list", quote(name), first+1), "keep one of them")
			good = false
			continue
		}
		seen[name] = i
		out = append(out, x)
	}
	return out, good
}

func identity(s string) string { return s }

func bounds(least, most int) string {
	if least == 0 {
		return fmt.Sprintf("at most %d", most)
	}
	return fmt.Sprintf("%d to %d", least, most)
}

// member is a key of an object, and how its value is read.
type member struct {
	name     string
	required bool
	read     func(v value) bool
}

// readObject reads the mapping v, which stands in a list, into its members.
func readObject(v value, expected string, members []member) bool {
	if v.node.Kind != yaml.MappingNode {
		hint := ""
		if v.node.Kind == yaml.ScalarNode && !v.null() {
			hint = fmt.Sprintf("write {%s: %s}", members[0].name, v.asItem())
		}
		v.wrong(expected, hint)
		return false
	}
	before := len(v.load.problems)
	var known, have []string
	for _, m := range members {
		known = append(known, m.name)
	}
	v.entries(func(name string, key, val value) {
		i := slices.Index(known, name)
		if i < 0 {
			key.problem("unknown key, expected "+either(known), didYouMean(name, known))
			return
		}
		have = append(have, name)
		members[i].read(val)
	})
	for _, m := range members {
		if m.required && !slices.Contains(have, m.name) {
			v.problem("found no "+quote(m.name)+", expected "+expected, "")
		}
	}
	return len(v.load.problems) == before
}
