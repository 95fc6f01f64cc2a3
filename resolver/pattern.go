package resolver

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"

	"domainpark/query"
)

// pattern is an owner name of the profile, relative to the parked domain. See
// parked.zone for what it may contain.
type pattern struct {
	tokens     []token // the label next to the parked domain first
	least      int     // how many labels a name must have below the parked domain
	open       bool    // there is a **: names may have more
	underscore bool    // a label that begins with an underscore is written out
}

type token struct {
	kind  tokenKind
	label []byte // of a literal: length byte and text, folded
}

// tokenKind is what a token stands for. The more specific kinds come first,
// which compare relies on.
type tokenKind uint8

const (
	literal   tokenKind = iota // that label
	oneLabel                   // *
	end                        // no label any more; only compare makes it
	anyLabels                  // **
)

// parsePattern reads an owner name of the profile.
func parsePattern(text string) (pattern, error) {
	var p pattern
	if text == "@" {
		return p, nil
	}
	if strings.HasSuffix(text, ".") {
		return p, fmt.Errorf("owner %q ends in a dot, but owners are relative to the parked domain; write it without", text)
	}
	if strings.ContainsAny(text, `\{}`) {
		return p, fmt.Errorf("owner %q: escapes and substitutions are not possible in an owner", text)
	}
	labels := strings.Split(text, ".")
	size := 1
	for i := len(labels) - 1; i >= 0; i-- {
		t, err := parseToken(labels[i])
		if err != nil {
			return p, fmt.Errorf("owner %q: %w", text, err)
		}
		p.tokens = append(p.tokens, t)
		size += len(t.label)
		switch t.kind {
		case anyLabels:
			p.open = true
		default:
			p.least++
		}
		p.underscore = p.underscore || t.kind == literal && t.label[1] == '_'
	}
	if size > query.MaxNameBytes {
		return p, fmt.Errorf("owner %q is longer than a domain name can be", text)
	}
	return p, nil
}

func parseToken(label string) (token, error) {
	switch {
	case label == "*":
		return token{kind: oneLabel}, nil
	case label == "**":
		return token{kind: anyLabels}, nil
	case label == "":
		return token{}, fmt.Errorf("a label is empty")
	case strings.Contains(label, "*"):
		return token{}, fmt.Errorf("label %q: a wildcard stands alone in its label, as * or **", label)
	case len(label) > 63:
		return token{}, fmt.Errorf("label %q has %d bytes, more than 63", label, len(label))
	}
	wire := append([]byte{byte(len(label))}, strings.ToLower(label)...)
	return token{kind: literal, label: wire}, nil
}

// matches tells whether p stands for q's name, whose first below labels lie
// below the parked domain. The name has a label that begins with an underscore
// if p has, and only then.
func (p *pattern) matches(q *query.Query, below int) bool {
	if below < p.least || below > p.least && !p.open {
		return false
	}
	if len(p.tokens) == 1 && p.open || below == 0 {
		return true // ** alone, or the parked domain itself
	}
	// The usual way to match wildcards without recursion: walk from the
	// parked domain outwards, and when a label does not fit, let the last **
	// swallow one more. Time is at most tokens times labels.
	t, l := 0, below-1
	star, starLabel := -1, 0
	for l >= 0 {
		switch {
		case t < len(p.tokens) && p.tokens[t].kind == anyLabels:
			star, starLabel = t, l
			t++
		case t < len(p.tokens) && p.tokens[t].fits(q, l):
			t++
			l--
		case star >= 0:
			starLabel--
			t, l = star+1, starLabel
		default:
			return false
		}
	}
	for t < len(p.tokens) && p.tokens[t].kind == anyLabels {
		t++
	}
	return t == len(p.tokens)
}

// fits tells whether the token stands for label number l of q's name.
func (t *token) fits(q *query.Query, l int) bool {
	return t.kind == oneLabel || bytes.HasPrefix(q.Name[q.Labels[l]:], t.label)
}

// compare orders patterns, the more specific one first: from the parked domain
// outwards, a written label comes before *, that before the end of the name,
// and that before **.
func (p *pattern) compare(o *pattern) int {
	for i := range max(len(p.tokens), len(o.tokens)) {
		a, b := p.at(i), o.at(i)
		if c := cmp.Or(cmp.Compare(a.kind, b.kind), bytes.Compare(a.label, b.label)); c != 0 {
			return c
		}
	}
	return 0
}

func (p *pattern) at(i int) token {
	if i < len(p.tokens) {
		return p.tokens[i]
	}
	return token{kind: end}
}
