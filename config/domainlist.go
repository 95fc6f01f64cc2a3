package config

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// maxListProblems is how many lines of a list are complained of one by one; a
// file of another sort would fill the screen.
const maxListProblems = 20

// domainLists is the kind of a list of domains in which "@FILE" stands for the
// domains in a file, one a line; # begins a comment.
func domainLists() kind[[]string] {
	expected := `a list, each a domain name or "@FILE"`
	inline := domains(maxInline)
	return kind[[]string]{expected: expected, read: func(v value) ([]string, bool) {
		if v.node.Kind != yaml.SequenceNode {
			v.noList(expected, false)
			return nil, false
		}
		var written []*yaml.Node
		var lists [][]string
		good := true
		for _, node := range v.node.Content {
			e := v.of(node, v.key)
			if e.node.Kind != yaml.ScalarNode || !strings.HasPrefix(e.node.Value, "@") {
				written = append(written, node)
				continue
			}
			list, ok := readDomains(e, e.node.Value[1:])
			lists, good = append(lists, list), good && ok
		}
		direct := *v.node
		direct.Content = written
		out, ok := inline.read(value{&direct, v.key, v.at, v.load})
		if len(lists) == 1 && len(out) == 0 {
			return lists[0], good && ok // a list of a million is not copied
		}
		for _, list := range lists {
			out = append(out, list...)
		}
		return out, good && ok
	}}
}

// readDomains reads the file that v names. The names share the memory of its
// text. A domain that stands there twice does no harm and is not looked for.
func readDomains(v value, path string) ([]string, bool) {
	if path == "" {
		v.wrong("a domain name", "the name of a file goes behind the @")
		return nil, false
	}
	path = v.resolve(path)
	text, err := readText(path, maxListBytes)
	if err != nil {
		v.wrong("a list of domains that can be read", err.Error())
		return nil, false
	}
	v.load.names = append(v.load.names, path)
	before := len(v.load.problems)
	names := parseDomains(v, path, strings.TrimPrefix(text, "\ufeff"))
	good := len(v.load.problems) == before
	if good && len(names) == 0 {
		// An empty list would park every domain there is: the opposite of what it is for.
		v.problem("found no domain in "+path, "give at least one, or take the list out")
		good = false
	}
	return names, good
}

func parseDomains(v value, path, text string) []string {
	const shortest = len("a.b\n") // there may be many empty lines
	names := make([]string, 0, min(strings.Count(text, "\n"), len(text)/shortest)+1)
	bad := 0
	for number := 1; text != ""; number++ {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		written, _, _ := strings.Cut(line, "#")
		trimmed := strings.TrimSpace(written)
		if trimmed == "" {
			continue
		}
		name, err := parseDomain(trimmed)
		if err == nil {
			names = append(names, name)
			continue
		}
		if bad++; bad <= maxListProblems {
			column := len([]rune(line[:strings.Index(line, trimmed)])) + 1
			v.load.problems = append(v.load.problems, Problem{
				Position: Position{path, number, column},
				Key:      v.key,
				Reason:   "found " + quote(trimmed) + ", expected one domain name on the line",
				Hint:     err.Error(),
			})
		}
	}
	if bad > maxListProblems {
		v.problem(fmt.Sprintf("found %d more lines in %s that are no domain names", bad-maxListProblems, path), "")
	}
	return names
}
