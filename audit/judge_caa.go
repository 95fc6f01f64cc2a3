package audit

import (
	"strings"

	"github.com/miekg/dns"
)

// caaProperties are what authorities look for, with what each is about. An
// authority without issuewild goes by issue (RFC 8659 §4.3), and one for mail
// addresses has none to go by (RFC 9495 §4).
var caaProperties = []struct {
	tags  []string
	about string
}{
	{[]string{"issue"}, "certificates"},
	{[]string{"issuewild", "issue"}, "wildcard certificates"},
	{[]string{"issuemail"}, "certificates for mail addresses"},
}

// caa judges who may issue certificates: nobody.
func caa(_ *evidence, a answer) (Verdict, string) {
	values := map[string][]string{}
	var shown []string
	for _, rr := range a.records() {
		if c, ok := rr.(*dns.CAA); ok {
			tag := strings.ToLower(c.Tag)
			values[tag] = append(values[tag], unescape(c.Value))
			shown = append(shown, tag+" "+`"`+unescape(c.Value)+`"`)
		}
	}
	if len(shown) == 0 {
		return Warn, "no CAA: every authority may issue certificates"
	}
	var open []string
	for _, p := range caaProperties {
		allowed, found := []string(nil), false
		for _, tag := range p.tags {
			if values[tag] != nil && !found {
				allowed, found = issuers(values[tag]), true
			}
		}
		switch {
		case !found:
			open = append(open, "every authority may issue "+p.about)
		case len(allowed) > 0:
			open = append(open, several(allowed)+" may issue "+p.about)
		}
	}
	if len(open) > 0 {
		return Warn, strings.Join(open, "; ")
	}
	return Pass, several(shown)
}

// issuers are the authorities in the values of a property. ";" alone is none
// (RFC 8659 §4.2).
func issuers(values []string) (out []string) {
	for _, value := range values {
		name, _, _ := strings.Cut(value, ";")
		if name = strings.TrimSpace(name); name != "" {
			out = append(out, name)
		}
	}
	return out
}

// caaBelow judges a subdomain: without CAA of its own the domain's holds (RFC
// 8659 §3).
func caaBelow(e *evidence, a answer) (Verdict, string) {
	if len(a.records()) == 0 {
		return Pass, "nothing of its own"
	}
	return caa(e, a)
}
