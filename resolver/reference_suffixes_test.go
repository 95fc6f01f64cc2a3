package resolver_test

import (
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// suffixList tells registrable domains: from a small list's text by comparing
// every rule, or by golang.org/x/net when there is none.
type suffixList struct {
	rules []suffixRule
}

type suffixRule struct {
	labels    []string
	exception bool
	private   bool
}

func newSuffixList(text []byte) suffixList {
	var l suffixList
	private := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.Contains(line, privateListBegin):
			private = true
		case line == "" || strings.HasPrefix(line, "//"):
		default:
			rule, exception := strings.CutPrefix(line, "!")
			l.rules = append(l.rules, suffixRule{fold(strings.Split(rule, ".")), exception, private})
		}
	}
	return l
}

// base returns the parked domain of a folded name: what is registrable, or a
// private suffix itself; nil for the root, a top-level domain and the other
// suffixes. A label that begins with an underscore is not registrable (RFC
// 8552), so what stands before the last of them does not count.
func (l suffixList) base(name []string) []string {
	for i := len(name) - 1; i >= 0; i-- {
		if isUnderscored(name[i]) {
			name = name[i+1:]
			break
		}
	}
	if len(name) == 0 {
		return nil
	}
	n, private := l.suffixLabels(name)
	switch {
	case len(name) > n:
		return name[len(name)-n-1:]
	case private:
		return name
	default:
		return nil
	}
}

// suffixLabels says how many labels the name's public suffix has.
func (l suffixList) suffixLabels(name []string) (n int, private bool) {
	if l.rules == nil {
		text := joined(tame(name))
		if _, err := netip.ParseAddr(text); err == nil {
			return 1, false // x/net takes it for an address, which has no suffix
		}
		suffix, icann := publicsuffix.PublicSuffix(text)
		n = strings.Count(suffix, ".") + 1
		return n, !icann && n > 1
	}
	n = 1 // the rule * (publicsuffix.org/list, "if no rules match")
	for _, r := range l.rules {
		if !r.matches(name) {
			continue
		}
		if r.exception {
			return len(r.labels) - 1, r.private
		}
		if len(r.labels) >= n {
			n, private = len(r.labels), r.private
		}
	}
	return n, private
}

func (r suffixRule) matches(name []string) bool {
	if len(name) < len(r.labels) {
		return false
	}
	tail := name[len(name)-len(r.labels):]
	for i, l := range r.labels {
		if l != "*" && l != tail[i] {
			return false
		}
	}
	return true
}

// tame writes labels so that they can be joined by dots: a label with bytes
// that no rule has becomes another label that no rule has.
func tame(labels []string) []string {
	out := slices.Clone(labels)
	for i, l := range out {
		if strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			out[i] = "-"
		}
	}
	return out
}
