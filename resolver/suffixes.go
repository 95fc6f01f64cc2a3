package resolver

import (
	"fmt"
	"strings"

	"github.com/weppos/publicsuffix-go/publicsuffix"
	"golang.org/x/net/idna"
)

// The public suffix list comes from github.com/weppos/publicsuffix-go, which
// hands out its rules one by one, so that they can be compiled into domains:
// golang.org/x/net/publicsuffix, which the tests compare with, only answers
// lookups, on strings, at 4 to 6 times the cost of a whole walk of ours
// (BenchmarkDomains).

// addSuffixes adds the rules of a public suffix list: those of source, or the
// ones compiled in when it has no text.
func (d *domains) addSuffixes(source Source) []error {
	if source.Text == nil {
		return d.addCompiledSuffixes()
	}
	return d.addSuffixFile(source)
}

func (d *domains) addCompiledSuffixes() []error {
	var errs []error
	for _, rule := range publicsuffix.DefaultRules() {
		text := rule.Value
		switch rule.Type {
		case publicsuffix.WildcardType:
			text = "*." + text
		case publicsuffix.ExceptionType:
			text = "!" + text
		}
		if err := d.addSuffix(text, !rule.Private); err != nil {
			errs = append(errs, fmt.Errorf("compiled-in public suffix list: %w", err))
		}
	}
	return errs
}

// addSuffixFile reads a public_suffix_list.dat: a rule a line, its sections
// marked by comments (https://github.com/publicsuffix/list/wiki/Format).
func (d *domains) addSuffixFile(source Source) []error {
	list, err := source.text()
	if err != nil {
		return []error{err}
	}
	var errs []error
	icann, rules, number := true, 0, 0
	for line := range strings.Lines(list) {
		number++
		text := strings.TrimSpace(line)
		if strings.HasPrefix(text, "//") {
			switch {
			case strings.Contains(text, "===BEGIN PRIVATE DOMAINS==="):
				icann = false
			case strings.Contains(text, "===BEGIN ICANN DOMAINS==="):
				icann = true
			}
			continue
		}
		rule, _, _ := strings.Cut(text, " ")
		if rule == "" {
			continue
		}
		if err := d.addSuffix(rule, icann); err != nil {
			errs = append(errs, &Error{File: source.Name, Line: number, Column: 1, Reason: err.Error()})
			continue
		}
		rules++
	}
	if rules == 0 && len(errs) == 0 {
		errs = append(errs, &Error{File: source.Name, Line: 1, Reason: "no rule in it; expected a public_suffix_list.dat"})
	}
	return errs
}

// addSuffix adds one rule, as the list writes it.
func (d *domains) addSuffix(rule string, icann bool) error {
	f := suffixPrivate
	if icann {
		f = suffixICANN
	}
	name := rule
	switch {
	case strings.HasPrefix(rule, "!"):
		name, f = rule[1:], exception
	case rule == "*":
		return nil // the default rule, which holds anyway
	case strings.HasPrefix(rule, "*."):
		name = rule[2:]
		f = wildcardPrivate
		if icann {
			f = wildcardICANN
		}
	}
	if strings.Contains(name, "*") {
		return fmt.Errorf("rule %q has a wildcard that is not its first label, which is not supported", rule)
	}
	ascii, err := idna.ToASCII(strings.ToLower(name))
	if err != nil {
		return fmt.Errorf("rule %q is not a domain name: %w", rule, err)
	}
	// IDNA lets most of ASCII pass, HTML for example.
	if strings.Trim(ascii, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" {
		return fmt.Errorf("rule %q is not a domain name of letters, digits and hyphens", rule)
	}
	wire, err := wireName(ascii)
	if err != nil {
		return fmt.Errorf("rule %q: %w", rule, err)
	}
	if wire[0] == 0 {
		return fmt.Errorf("rule %q is the root", rule)
	}
	_, err = d.add(wire, f)
	return err
}
