package config

import "strings"

// didYouMean is a hint at the word that looks most like the one found, or
// empty when none does.
func didYouMean(found string, words []string) string {
	best, least := "", len(found)/3+2 // a third of the letters wrong is a typing mistake, more is another word
	for _, w := range words {
		if d := distance(fold(found), fold(w)); d < least {
			best, least = w, d
		}
	}
	if best == "" {
		return ""
	}
	return "did you mean " + quote(best) + "?"
}

// separators are made once: making them takes longer than using them.
var separators = strings.NewReplacer("_", "", "-", "")

// fold makes rua_mail, ruaMail and rua-mail the same.
func fold(name string) string { return separators.Replace(strings.ToLower(name)) }

// distance is how many characters must be put in, taken out, replaced or
// swapped with their neighbour to turn a into b (optimal string alignment).
func distance(a, b string) int {
	const long = 64 // no key is as long
	if len(a) > long || len(b) > long {
		return long
	}
	var d [long + 1][long + 1]int
	for i := range len(a) + 1 {
		for j := range len(b) + 1 {
			if i == 0 || j == 0 {
				d[i][j] = i + j
				continue
			}
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}
