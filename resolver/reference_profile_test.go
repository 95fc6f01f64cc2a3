package resolver_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// parkedProfile is the profile as it stands for one base: its substitutions
// made in the text, then read as an ordinary zone.
type parkedProfile struct {
	patterns []pattern
}

// pattern is an owner name of the profile with its records. Labels run from
// the base outwards.
type pattern struct {
	labels  []string
	records []dns.RR
}

func (ref *reference) profile(base []string) *parkedProfile {
	if p, ok := ref.profiles[joined(base)]; ok {
		return p
	}
	text := fmt.Sprintf("$TTL %d\n", ref.cfg.TTL/time.Second)
	for _, record := range logicalLines(string(ref.cfg.Profile.Text)) {
		for _, line := range ref.substitute(record, base) {
			text += line + "\n"
		}
	}
	p := &parkedProfile{}
	zone := dns.NewZoneParser(strings.NewReader(text), presentation(base), "profile")
	for rr, ok := zone.Next(); ok; rr, ok = zone.Next() {
		labels := fold(splitName(rr.Header().Name))
		labels = labels[:len(labels)-len(base)]
		slices.Reverse(labels)
		p.add(labels, rr)
	}
	if err := zone.Err(); err != nil {
		panic(fmt.Sprintf("reference: profile for %s: %v\n%s", presentation(base), err, text))
	}
	ref.profiles[joined(base)] = p
	return p
}

func (p *parkedProfile) add(labels []string, rr dns.RR) {
	i := slices.IndexFunc(p.patterns, func(have pattern) bool { return slices.Equal(have.labels, labels) })
	if i < 0 {
		i = len(p.patterns)
		p.patterns = append(p.patterns, pattern{labels: labels})
	}
	p.patterns[i].records = append(p.patterns[i].records, rr)
}

// lookup returns the records of the most specific pattern that has the type.
func (p *parkedProfile) lookup(relative []string, qtype uint16) []dns.RR {
	name := fold(relative)
	slices.Reverse(name)
	var best *pattern
	var found []dns.RR
	for i := range p.patterns {
		candidate := &p.patterns[i]
		var records []dns.RR
		for _, rr := range candidate.records {
			if rr.Header().Rrtype == qtype {
				records = append(records, rr)
			}
		}
		if len(records) > 0 && candidate.matches(name) && (best == nil || candidate.moreSpecific(best)) {
			best, found = candidate, records
		}
	}
	return found
}

// matches applies RFC 8552's rule first: names with an underscore label are for
// the patterns that write one out.
func (p *pattern) matches(name []string) bool {
	if !slices.ContainsFunc(p.labels, isUnderscored) && slices.ContainsFunc(name, isUnderscored) {
		return false
	}
	return matchLabels(p.labels, name)
}

func matchLabels(pattern, name []string) bool {
	switch {
	case len(pattern) == 0:
		return len(name) == 0
	case pattern[0] == "**":
		return matchLabels(pattern[1:], name) || len(name) > 0 && matchLabels(pattern, name[1:])
	case len(name) == 0:
		return false
	default:
		return (pattern[0] == "*" || pattern[0] == name[0]) && matchLabels(pattern[1:], name[1:])
	}
}

// moreSpecific compares from the base outwards: literal, *, the pattern's end, **.
func (p *pattern) moreSpecific(than *pattern) bool {
	rank := func(labels []string, i int) int {
		switch {
		case i >= len(labels):
			return 1
		case labels[i] == "**":
			return 0
		case labels[i] == "*":
			return 2
		default:
			return 3
		}
	}
	for i := range max(len(p.labels), len(than.labels)) {
		if a, b := rank(p.labels, i), rank(than.labels, i); a != b {
			return a > b
		}
	}
	return false
}

func isUnderscored(label string) bool { return strings.HasPrefix(label, "_") }

// substitute fills in a record's {names}: no line when it has nothing to say,
// several when it stands for each of a list.
func (ref *reference) substitute(record string, base []string) []string {
	servers := make([]string, 0, len(ref.cfg.NameServers))
	for _, ns := range ref.cfg.NameServers {
		servers = append(servers, presentation(splitName(ns.Name)))
	}
	iodef := make([]string, 0, len(ref.cfg.IODEF))
	for _, to := range ref.cfg.IODEF {
		if !strings.Contains(to, ":") {
			to = "mailto:" + to
		}
		iodef = append(iodef, to)
	}
	record = strings.NewReplacer(
		"{mname}", servers[0],
		"{rname}", ref.rname(),
		"{rua}", reportTag("rua", ref.cfg.RUA),
		"{ruf}", reportTag("ruf", ref.cfg.RUF),
	).Replace(record)
	name := strings.TrimSuffix(presentation(base), ".")
	parts := strings.Split(record, `"`) // every second one is a text, in which the name's backslashes and quotes are text
	for i, part := range parts {
		if i%2 == 1 {
			parts[i] = strings.ReplaceAll(part, "{base}", strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name))
		} else {
			parts[i] = strings.ReplaceAll(part, "{base}", name)
		}
	}
	record = strings.Join(parts, `"`)
	lines := []string{record}
	lines = oneEach(lines, "{ns}", servers)
	return oneEach(lines, "{iodef}", iodef)
}

func oneEach(lines []string, key string, values []string) []string {
	var out []string
	for _, line := range lines {
		if !strings.Contains(line, key) {
			out = append(out, line)
			continue
		}
		for _, v := range values {
			out = append(out, strings.ReplaceAll(line, key, v))
		}
	}
	return out
}

func reportTag(tag string, mailboxes []string) string {
	if len(mailboxes) == 0 {
		return ""
	}
	return " " + tag + "=mailto:" + strings.Join(mailboxes, ",mailto:") + ";"
}

// rname turns the hostmaster's mailbox into a name (RFC 1035 §8).
func (ref *reference) rname() string {
	mailbox := ref.cfg.Hostmaster
	if mailbox == "" {
		first := splitName(ref.cfg.NameServers[0].Name)
		domain := ref.suffixes.base(fold(first))
		if domain == nil {
			domain = first
		}
		mailbox = "hostmaster@" + presentation(domain)
	}
	local, domain, _ := strings.Cut(mailbox, "@")
	return strings.ReplaceAll(local, ".", `\.`) + "." + dns.Fqdn(domain)
}

// logicalLines splits a master file into its records: comments go, and what
// stands in parentheses becomes one line.
func logicalLines(text string) []string {
	var lines []string
	var line strings.Builder
	quoted, comment, depth := false, false, 0
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\n':
			comment = false
			if depth == 0 {
				lines = append(lines, line.String())
				line.Reset()
			}
		case comment:
		case c == '\\' && i+1 < len(text):
			line.WriteString(text[i : i+2])
			i++
		case c == '"':
			quoted = !quoted
			line.WriteByte(c)
		case quoted:
			line.WriteByte(c)
		case c == ';':
			comment = true
		case c == '(':
			depth++
		case c == ')':
			depth--
		default:
			line.WriteByte(c)
		}
	}
	return append(lines, line.String())
}
