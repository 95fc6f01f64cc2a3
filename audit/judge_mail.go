package audit

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// nullMX judges the MX records of the domain: exactly one, "0 ." (RFC 7505 §3).
func nullMX(_ *evidence, a answer) (Verdict, string) {
	var hosts []string
	null := 0
	preference := uint16(0)
	for _, rr := range a.records() {
		mx, ok := rr.(*dns.MX)
		if !ok {
			continue
		}
		if mx.Mx == "." {
			null++
			preference = mx.Preference
			continue
		}
		hosts = append(hosts, plain(mx.Mx))
	}
	switch {
	case null == 0 && len(hosts) == 0:
		return Fail, "no MX: mail goes to the addresses of the name, if it has any"
	case null == 0:
		return Fail, "mail is accepted by " + several(hosts)
	case len(hosts) > 0:
		return Fail, "a null MX beside " + several(hosts) + ", which senders use all the same"
	case null > 1:
		return Fail, fmt.Sprintf("%d null MX", null)
	case preference != 0:
		return Warn, fmt.Sprintf("a null MX with preference %d", preference)
	}
	return Pass, "0 ."
}

// nullMXBelow judges a random subdomain. One that does not exist gets no mail.
func nullMXBelow(e *evidence, a answer) (Verdict, string) {
	if len(a.records()) == 0 {
		if !a.exists() {
			return Pass, "NXDOMAIN: the name does not exist"
		}
		return Warn, "no MX: mail goes to the addresses of the name, if it has any"
	}
	return nullMX(e, a)
}

// spf judges the SPF records of a name (RFC 7208 §4.5, §4.6).
func spf(_ *evidence, a answer) (Verdict, string) {
	var records []string
	for _, text := range a.texts() {
		if version, _, _ := strings.Cut(text, " "); strings.EqualFold(version, "v=spf1") {
			records = append(records, text)
		}
	}
	switch len(records) {
	case 0:
		return Fail, "no SPF record: any host may send in this name"
	case 1:
		return spfRecord(records[0])
	}
	return Fail, fmt.Sprintf("%d SPF records, which counts as an error and protects nothing: %s", len(records), several(records))
}

func spfRecord(record string) (Verdict, string) {
	terms := strings.Fields(record)[1:]
	quoted := excerpt(record)
	if len(terms) == 1 {
		switch strings.ToLower(terms[0]) {
		case "-all":
			return Pass, quoted
		case "~all":
			return Warn, quoted + ": asks receivers to be suspicious, not to reject"
		}
	}
	for _, term := range terms {
		term = strings.ToLower(term)
		if term == "all" || term == "+all" {
			return Fail, quoted + ": every host may send"
		}
		if strings.HasPrefix(term, "exp=") || term == "-all" {
			continue
		}
		return Fail, quoted + ": does more than to forbid"
	}
	if len(terms) == 0 {
		return Fail, quoted + ": forbids nothing"
	}
	return Pass, quoted
}

// dkim judges the key of a selector that nobody chose: none is to be valid (RFC
// 6376 §3.6.1).
func dkim(_ *evidence, a answer) (Verdict, string) {
	texts := a.texts()
	if len(texts) == 0 {
		return Warn, "no record: nothing says that keys are revoked"
	}
	for _, text := range texts {
		key, known := "", false
		for tag := range strings.SplitSeq(text, ";") {
			if name, value, ok := strings.Cut(tag, "="); ok && strings.TrimSpace(name) == "p" {
				key, known = strings.TrimSpace(value), true
			}
		}
		switch {
		case !known:
			return Warn, excerpt(text) + ": is no DKIM key record"
		case key != "":
			return Fail, excerpt(text) + ": a valid key for every selector"
		}
	}
	if len(texts) > 1 {
		return Warn, fmt.Sprintf("%d records, with undefined results: %s", len(texts), several(texts))
	}
	return Pass, excerpt(texts[0])
}

// bimi judges the declination to show a logo. Without one there is none either,
// unless somebody else's indicator is shown.
func bimi(_ *evidence, a answer) (Verdict, string) {
	for _, text := range a.texts() {
		if !strings.HasPrefix(strings.ToLower(text), "v=bimi1") {
			continue
		}
		for tag := range strings.SplitSeq(text, ";") {
			name, value, _ := strings.Cut(tag, "=")
			if name = strings.TrimSpace(name); (name == "l" || name == "a") && strings.TrimSpace(value) != "" {
				return Warn, excerpt(text) + ": shows a logo beside mail in this name"
			}
		}
		return Pass, excerpt(text)
	}
	return Info, "no record: nothing is declined, and nothing is shown"
}

// absent judges a name that other records than version's must not be at, and
// that a domain without mail leaves empty.
func absent(version string) func(*evidence, answer) (Verdict, string) {
	return func(_ *evidence, a answer) (Verdict, string) {
		texts := a.texts()
		for _, text := range texts {
			if strings.HasPrefix(text, version) {
				return Warn, excerpt(text) + ": the domain has no mail"
			}
		}
		if len(texts) > 0 {
			return Warn, several(texts) + ": readers take it for a mistake"
		}
		return Pass, "nothing there"
	}
}

// address tells whether the domain has a website. That is no matter of mail.
func address(_ *evidence, a answer) (Verdict, string) {
	var addrs []string
	for _, rr := range a.records() {
		for _, addr := range addresses([]dns.RR{rr}, rr.Header().Name) {
			addrs = append(addrs, addr.String())
		}
	}
	kind := dns.Type(a.msg.Question[0].Qtype).String()
	if len(addrs) == 0 {
		return Info, "no " + kind + " record: no website"
	}
	return Info, kind + " " + several(addrs)
}

// maxSeveral is how many things of a kind are told one by one.
const maxSeveral = 4

// several is "a, b and 3 more".
func several(things []string) string {
	var told []string
	for _, thing := range things[:min(len(things), maxSeveral)] {
		told = append(told, excerpt(thing))
	}
	text := strings.Join(told, ", ")
	if more := len(things) - len(told); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
