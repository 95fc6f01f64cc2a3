//go:build linux

package main

import (
	"strings"
	"testing"
)

func TestInstructionsAreThoseOfTheAnswersBetween(t *testing.T) {
	read := func(text string) *profile {
		p, err := readProfile(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	fewer := read("desc: x\nevents: Ir\nfl=a.go\nfn=main.a\n1 100\n2 50\nfn=main.b\n7 10\nsummary: 160\n")
	more := read("events: Ir\nfl=a.go\nfn=main.a\n1 300\n2 50\nfl=b.go\nfn=main.b\n7 50\nfn=main.c\n9 4\nsummary: 404\n")
	fewer.answers, more.answers = 10, 30
	more.less(fewer)
	var out strings.Builder
	more.print(&out, 2)
	const want = "    12.2 instructions in user space for an answer, of 20 answers\n    10.0 main.a\n     2.0 main.b\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestOtherEventsAreRefused(t *testing.T) {
	if p, err := readProfile(strings.NewReader("fn=a\n1 2 3\n")); err == nil {
		t.Errorf("a simulation of caches was read as %v", p)
	}
}
