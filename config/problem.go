package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Position is a place in a file that an operator wrote, or a flag.
type Position struct {
	File   string // as it was named; a flag begins with "-"
	Line   int    // 1 for the first line; 0 for the file as a whole, and for flags
	Column int    // in characters, 1 for the first; 0 when not known
}

// String is file:line:column, without what is not known.
func (p Position) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Problem is one mistake of an operator: where it is, what it is, and what to
// do about it.
type Problem struct {
	Position
	Key    string // the setting; empty when it is none
	Reason string // what was found, and what is expected
	Hint   string // what to do; may be empty
}

// Error is the problem in one line.
func (p Problem) Error() string {
	var b strings.Builder
	if p.File != "" {
		fmt.Fprintf(&b, "%s: ", p.Position)
	}
	if p.Key != "" && !strings.HasPrefix(p.File, "-") {
		fmt.Fprintf(&b, "key %s: ", quote(p.Key))
	}
	b.WriteString(p.Reason)
	if p.Hint != "" {
		b.WriteString("; " + p.Hint)
	}
	return b.String()
}

// Problems is every mistake that was found, in the order of their positions.
type Problems []Problem

// MaxProblemsShown is how many problems are worth printing: who has more has
// named the wrong file.
const MaxProblemsShown = 100

// Error is one line for each problem, up to MaxProblemsShown.
func (ps Problems) Error() string {
	shown := ps[:min(len(ps), MaxProblemsShown)]
	lines := make([]string, len(shown), len(shown)+1)
	for i, p := range shown {
		lines[i] = p.Error()
	}
	if more := len(ps) - len(shown); more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more problems", more))
	}
	return strings.Join(lines, "\n")
}

// sorted returns ps by position: files in the order in which they were first
// named, those that only checks know behind them, flags and what has no place
// last.
func (ps Problems) sorted(files []string) Problems {
	files = slices.Clone(files)
	for _, p := range ps {
		if p.Line > 0 && !slices.Contains(files, p.File) {
			files = append(files, p.File)
		}
	}
	rank := func(p Problem) int {
		if i := slices.Index(files, p.File); i >= 0 {
			return i
		}
		return len(files)
	}
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(rank(a)-rank(b), a.Line-b.Line, a.Column-b.Column)
	})
	return slices.Compact(ps)
}
