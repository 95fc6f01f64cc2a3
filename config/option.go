package config

import (
	"reflect"
	"strings"
)

// option is one row of the table of settings.
type option struct {
	key      string // path in the file, joined by dots
	value    target // how it is read, and where to; the zero target makes the row a section
	def      string // the default, as an operator would write it
	required bool   // there is no default: example stands in the sample instead
	example  string
	help     string // for the sample file and the manual, in one line
	restart  bool   // a reload does not change it, only a start does
	secret   bool   // it is not printed
}

// target reads a value into its field of Settings.
type target struct {
	expected string
	read     func(v value, s *Settings)
	take     func(s, from *Settings) (differed bool) // sets the field to what it is in another
}

// into joins a kind of value with the field that takes it.
func into[T any](k kind[T], field func(*Settings) *T) target {
	return target{expected: k.expected,
		read: func(v value, s *Settings) {
			if x, ok := k.read(v); ok {
				*field(s) = x
			}
		},
		take: func(s, from *Settings) bool {
			differed := !reflect.DeepEqual(*field(s), *field(from))
			*field(s) = *field(from)
			return differed
		},
	}
}

func (o *option) section() bool { return o.value.read == nil }

// name is the last part of the key.
func (o *option) name() string { return o.key[strings.LastIndexByte(o.key, '.')+1:] }

// parent is the key of the section that o stands in; empty at the top.
func (o *option) parent() string { return o.key[:max(0, strings.LastIndexByte(o.key, '.'))] }

// lookup finds the row of key, or nil.
func lookup(key string) *option {
	for i := range options {
		if options[i].key == key {
			return &options[i]
		}
	}
	return nil
}

// names lists the keys directly below section.
func names(section string) []string {
	var out []string
	for i := range options {
		if o := &options[i]; o.parent() == section {
			out = append(out, o.name())
		}
	}
	return out
}

// Help is what the setting key means, for the help of a flag that sets it. It
// panics when there is no such setting.
func Help(key string) string { return lookup(key).help }
