package listeners

import "time"

// line is a list of passages, in the order in which they joined it.
type line struct {
	front, back *passage
	n           int
}

// add puts p, which is in no line, at the back.
func (l *line) add(p *passage, now time.Time) {
	p.in, p.since, p.before, p.behind = l, now, l.back, nil
	if l.back == nil {
		l.front = p
	} else {
		l.back.behind = p
	}
	l.back = p
	l.n++
}

// remove takes p, which is in l, out of it.
func (l *line) remove(p *passage) {
	if p.before == nil {
		l.front = p.behind
	} else {
		p.before.behind = p.behind
	}
	if p.behind == nil {
		l.back = p.before
	} else {
		p.behind.before = p.before
	}
	p.in, p.before, p.behind = nil, nil, nil
	l.n--
}
