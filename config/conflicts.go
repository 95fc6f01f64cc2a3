package config

import (
	"fmt"
	"strings"
)

// conflicts finds settings that are good by themselves and not together.
func (l *loader) conflicts() {
	s := &l.settings.Listen
	// HTTP/3 has the UDP port of DoH.
	l.shared("UDP", []transport{{"listen.udp", s.UDP}, {"listen.doq", s.DoQ}, {"listen.doh", s.DoH}})
	l.shared("TCP", []transport{{"listen.tcp", s.TCP}, {"listen.dot", s.DoT}, {"listen.doh", s.DoH},
		{"listen.http", s.HTTP}, {"listen.admin", s.Admin}})
	if len(s.UDP)+len(s.TCP)+len(s.DoT)+len(s.DoH)+len(s.DoQ) == 0 && len(l.problems) == 0 {
		l.problems = append(l.problems, Problem{Position: l.settings.given["listen.udp"], Key: "listen",
			Reason: "found no address at all, expected one for a transport at least"})
	}
}

type transport struct {
	key       string
	addresses []string
}

// shared reports addresses that two transports over the same protocol have in
// common. Port 0 is another one each time.
func (l *loader) shared(protocol string, transports []transport) {
	taken := map[string]string{}
	for _, t := range transports {
		for _, addr := range t.addresses {
			other, both := taken[addr]
			if !both || strings.HasSuffix(addr, ":0") {
				taken[addr] = t.key
				continue
			}
			p := l.settings.Problem(t.key, fmt.Sprintf("found %q, which %s listens on already (%s)", addr, other, protocol))
			p.Hint = "take one of them out"
			l.problems = append(l.problems, p)
		}
	}
}
