// Package config is what an operator can set: in a settings file (YAML 1.2)
// and by the flags of the command line.
//
// Every setting is one row of the table in options.go; the file reader, the
// help of flags, the checks and the sample file follow from it. Start at
// [Load]. The package builds nothing from the settings: only cmd/domain-park
// hands them on, and the other packages know no file.
package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Check looks for mistakes that only the part which uses the settings can see.
// The Settings may be incomplete: what could not be read has its zero value or
// its default, and good is false.
type Check func(s *Settings, good bool) []Problem

// Load reads the settings file, or none when its name is empty, lets flags
// override it, fills in defaults and runs checks. Either everything is good,
// or there are no Settings and the error is [Problems]: all that is wrong.
func Load(file string, flags Flags, checks ...Check) (*Settings, error) {
	l := &loader{file: file, names: []string{file}, settings: &Settings{given: map[string]Position{}, written: map[string]*yaml.Node{}}}
	if file != "" {
		l.dir = filepath.Dir(file)
		l.readFile()
	}
	l.override(flags)
	l.defaults()
	l.conflicts()
	good := len(l.problems) == 0
	if l.blank {
		checks = nil // they would find fault with defaults that nobody meant
	}
	for _, check := range checks {
		l.problems = append(l.problems, check(l.settings, good)...)
	}
	if len(l.problems) > 0 {
		return nil, Problems(l.problems).sorted(l.names)
	}
	l.settings.files = slices.DeleteFunc(l.names, func(name string) bool { return name == "" })
	return l.settings, nil
}

// loader is one call of Load.
type loader struct {
	file     string // the settings file as it was named; empty: none
	dir      string // where it lies
	names    []string
	settings *Settings
	problems []Problem
	broken   bool // the file could not be read: nothing in it can be called missing
	blank    bool // and nothing of it is known
}

func (l *loader) readFile() {
	text, err := readText(l.file, maxSettingsBytes)
	if err != nil {
		// The reason names the file: it stands for the position, too.
		l.problems = append(l.problems, Problem{Reason: err.Error(), Hint: "expected a settings file (domain-park check --sample prints one)"})
		l.broken, l.blank = true, true
		return
	}
	top := l.parse(text)
	l.broken = len(l.problems) > 0
	l.blank = l.broken && top == nil
	if top != nil {
		l.section(value{top, "", Position{File: l.file, Line: 1, Column: 1}, l})
	}
}

// section reads the mapping v, whose key is a section's, into the settings.
func (l *loader) section(v value) {
	v.entries(func(name string, key, val value) {
		o := lookup(key.key)
		switch {
		case o == nil || strings.Contains(name, "."):
			l.unknown(v.key, name, key)
		case !o.section():
			l.settings.given[o.key], l.settings.written[o.key] = val.at, val.node
			o.value.read(val, l.settings)
		case val.node.Kind == yaml.MappingNode:
			l.section(val)
		case !val.null(): // all that is in it may be commented out
			val.wrong("a section with "+either(names(o.key)), "")
		}
	})
}

// unknown reports a key that is none in its section.
func (l *loader) unknown(section, name string, key value) {
	hint := elsewhere(name)
	if hint == "" {
		hint = didYouMean(name, names(section))
	}
	reason := "unknown key"
	if hint == "" {
		reason += ", expected " + either(names(section))
	}
	key.problem(reason, hint)
}

// elsewhere is a hint at the setting that name is in another section, written
// with or without its sections.
func elsewhere(name string) string {
	for i := range options {
		if o := &options[i]; o.key == name || o.name() == name {
			if o.parent() == "" {
				return fmt.Sprintf("%q stands at the left margin, in no section", o.key)
			}
			return fmt.Sprintf("it belongs into the section %q, as %q", o.parent(), o.name())
		}
	}
	return ""
}

// either is "a, b or c".
func either(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// defaults fills in what was not given. The defaults are written like values
// in a file and read by the same functions.
func (l *loader) defaults() {
	for i := range options {
		o := &options[i]
		switch {
		case o.section() || l.settings.Given(o.key):
		case o.required && !l.broken:
			l.missing(o)
		case o.def != "":
			var doc yaml.Node
			if err := yaml.Load([]byte(o.def), &doc); err != nil {
				panic("config: default of " + o.key + ": " + err.Error())
			}
			o.value.read(value{load: l}.of(doc.Content[0], o.key), l.settings)
		}
	}
}

func (l *loader) missing(o *option) {
	p := Problem{Position: Position{File: l.file}, Key: o.key,
		Reason: "found nothing, expected " + o.value.expected, Hint: "domain-park check --sample prints a file to begin with"}
	if l.file == "" {
		p.Key = ""
		p.Reason = "no name servers"
		p.Hint = "give them as -n ns1.example.net=192.0.2.1 -n ns2.example.net, or a settings file as --config FILE"
	}
	l.problems = append(l.problems, p)
}
