package main

import (
	"fmt"
	"strings"

	"domainpark/config"
)

// suffixProblems refuses a file that is no public suffix list, or the beginning
// of one: with it, domains of different owners would be taken for one. What is
// wrong with single rules the resolver tells.
func suffixProblems(s *config.Settings, _ bool) []config.Problem {
	if s.Parking.PublicSuffixes.Path == "" {
		return nil
	}
	rules, sections, com := 0, 0, false
	for line := range strings.Lines(string(s.Parking.PublicSuffixes.Text)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "//"):
			if strings.Contains(line, "===BEGIN ICANN DOMAINS===") || strings.Contains(line, "===END ICANN DOMAINS===") {
				sections++
			}
		case line != "":
			rules++
			com = com || line == "com"
		}
	}
	what := ""
	switch {
	case sections == 0:
		what = fmt.Sprintf("found a file of %d lines without the comments that mark the list's sections", rules)
	case sections == 1:
		what = "found the beginning of a public suffix list: its ICANN section does not end"
	case !com:
		what = fmt.Sprintf("found a public suffix list of %d rules, without com", rules)
	default:
		return nil
	}
	p := s.Problem("parking.publicsuffixes", what+", expected a whole public_suffix_list.dat (https://publicsuffix.org/list/)")
	p.Hint = "leave it out: a list is compiled in"
	return []config.Problem{p}
}
