package main

import "testing"

func TestProcessorsFollowHowGoroutinesWait(t *testing.T) {
	busy, late := waited{all: 5000, slow: 200, late: 20}, waited{all: 5000, slow: 500, late: 100}
	quiet, few := waited{all: 5000, slow: 20}, waited{all: 5, slow: 5, late: 5}
	var p processors
	look := func(w waited, times int, want bool) {
		t.Helper()
		for range times {
			before := p.raised
			if changed := p.look(w); changed != (p.raised != before) {
				t.Errorf("changed: %v, from %v to %v", changed, before, p.raised)
			}
		}
		if p.raised != want {
			t.Errorf("after %d looks at %+v: raised %v", times, w, p.raised)
		}
	}
	look(busy, 100, false) // a few wait for long, as they do on a busy machine
	look(few, 100, false)  // one in five, but there are hardly any
	look(late, 1, true)
	look(late, 100, true)
	look(quiet, calmLooks-1, true)
	look(busy, 1, true) // not calm yet: it begins anew
	look(quiet, calmLooks-1, true)
	look(quiet, 1, false)
	look(waited{}, 100, false)
	look(late, 1, true)
	look(waited{}, calmLooks, false) // nothing runs at all
}

func TestWaitsAreCounted(t *testing.T) {
	before := waits()
	done := make(chan bool)
	for range 10_000 {
		go func() { done <- true }()
		<-done
	}
	is := waits().since(before)
	if is.all == 0 || is.slow > is.all || is.late > is.slow {
		t.Errorf("%+v", is)
	}
}
