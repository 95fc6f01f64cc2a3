package main

import (
	"slices"
	"testing"

	"domainpark/resolver"
)

func TestZonesGone(t *testing.T) {
	zones := func(names ...string) (out []resolver.ZoneInfo) {
		for _, n := range names {
			out = append(out, resolver.ZoneInfo{Name: n})
		}
		return out
	}
	for _, c := range []struct{ before, after, want []string }{
		{nil, nil, nil},
		{nil, []string{"a"}, nil},
		{[]string{"a", "b"}, []string{"b", "c"}, []string{"a"}},
		{[]string{"a", "b"}, nil, []string{"a", "b"}},
	} {
		if got := zonesGone(zones(c.before...), zones(c.after...)); !slices.Equal(got, c.want) {
			t.Errorf("%v, then %v: %v are gone, want %v", c.before, c.after, got, c.want)
		}
	}
}
