package audit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
	"golang.org/x/net/publicsuffix"
)

// dmarcRecord is a parsed DMARC record (RFC 9989 §4.7).
type dmarcRecord struct {
	text  string
	order []string          // the tags' names, in lower case
	tags  map[string]string // by name
}

// parseDMARC finds the DMARC record among texts. Those of no or another version
// do not count, and of several none does (RFC 9989 §4.10). wrong says why there
// is no record to use.
func parseDMARC(texts []string) (record dmarcRecord, wrong string) {
	var records []string
	for _, text := range texts {
		version, _, _ := strings.Cut(text, ";")
		if name, value, _ := strings.Cut(version, "="); strings.TrimSpace(name) == "v" && strings.TrimSpace(value) == "DMARC1" {
			records = append(records, text)
		}
	}
	switch {
	case len(records) > 1:
		return record, fmt.Sprintf("%d DMARC records, which counts as none: %s", len(records), several(records))
	case len(records) == 0 && len(texts) > 0:
		return record, "no DMARC record, but " + several(texts)
	case len(records) == 0:
		return record, "no DMARC record"
	}
	record = dmarcRecord{text: records[0], tags: map[string]string{}}
	for tag := range strings.SplitSeq(records[0], ";") {
		if strings.TrimSpace(tag) == "" {
			continue
		}
		name, value, ok := strings.Cut(tag, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		switch {
		case !ok || name == "":
			return dmarcRecord{}, fmt.Sprintf("a DMARC record with a mistake at %q: %s", excerpt(strings.TrimSpace(tag)), excerpt(records[0]))
		case slices.Contains(record.order, name):
			return dmarcRecord{}, fmt.Sprintf("a DMARC record with the tag %q twice: %s", excerpt(name), excerpt(records[0]))
		}
		record.order = append(record.order, name)
		record.tags[name] = strings.TrimSpace(value)
	}
	return record, ""
}

// policy is the value of a tag, or of the one that stands in for it.
func (r dmarcRecord) policy(tags ...string) string {
	for _, tag := range tags {
		if value, ok := r.tags[tag]; ok {
			return strings.ToLower(value)
		}
	}
	return ""
}

// mailboxes are the addresses that reports go to (RFC 9989 §4.7, rua and ruf).
func (r dmarcRecord) mailboxes() (out []string) {
	for _, tag := range []string{"rua", "ruf"} {
		for uri := range strings.SplitSeq(r.tags[tag], ",") {
			scheme, mailbox, ok := strings.Cut(strings.TrimSpace(uri), ":")
			mailbox, _, _ = strings.Cut(mailbox, "!") // a size, in RFC 7489
			if ok && strings.EqualFold(scheme, "mailto") && strings.Contains(mailbox, "@") {
				out = append(out, mailbox)
			}
		}
	}
	return out
}

// dmarc judges the policy of the domain: reject, whatever the name (RFC 9989
// §4.7).
func dmarc(_ *evidence, a answer) (Verdict, string) {
	record, wrong := parseDMARC(a.texts())
	if wrong != "" {
		return Fail, wrong
	}
	worst, found := Pass, []string{excerpt(record.text)}
	say := func(v Verdict, format string, args ...any) {
		worst = max(worst, v)
		found = append(found, fmt.Sprintf(format, args...))
	}
	for _, p := range []struct {
		of   string
		tags []string
	}{
		{"the domain", []string{"p"}},
		{"subdomains", []string{"sp", "p"}},
		{"names that do not exist", []string{"np", "sp", "p"}},
	} {
		switch policy := record.policy(p.tags...); policy {
		case "reject":
		case "":
			say(Fail, "no policy for %s (p=)", p.of)
		case "quarantine":
			say(Warn, "the policy for %s is quarantine: mail in its name is delivered as spam", p.of)
		default:
			say(Fail, "the policy for %s is %s", p.of, excerpt(policy))
		}
	}
	if record.policy("t") == "y" {
		say(Fail, "t=y: the policy is only tested")
	}
	if pct, ok := record.tags["pct"]; ok && pct != "100" {
		say(Warn, "pct=%s: older receivers apply the policy to a part of the mail", excerpt(pct))
	}
	if len(record.order) > 1 && record.order[1] != "p" && record.tags["p"] != "" {
		say(Warn, "p= does not stand directly after v=: receivers by RFC 7489 (§6.3) ignore the record")
	}
	for _, tag := range []string{"adkim", "aspf"} {
		if record.policy(tag) != "s" {
			say(Warn, "%s is relaxed: mail that a subdomain authenticates passes for the domain's", tag)
		}
	}
	for _, tag := range []string{"rua", "ruf"} {
		if bad := badURI(record.tags[tag]); bad != "" {
			say(Warn, "%s has %q, which is no mailto: address", tag, excerpt(bad))
		}
	}
	return worst, strings.Join(found, "; ")
}

// badURI is the first of the addresses in a tag that nobody can send to.
func badURI(value string) string {
	if value == "" {
		return ""
	}
	for uri := range strings.SplitSeq(value, ",") {
		uri = strings.TrimSpace(uri)
		scheme, mailbox, _ := strings.Cut(uri, ":")
		local, domain, _ := strings.Cut(mailbox, "@")
		if !strings.EqualFold(scheme, "mailto") || local == "" || !strings.Contains(domain, ".") {
			return uri
		}
	}
	return ""
}

// dmarcBelow judges what a subdomain says of itself: its own record would
// override the domain's sp= and np= (RFC 9989 §4.10).
func dmarcBelow(_ *evidence, a answer) (Verdict, string) {
	texts := a.texts()
	if len(texts) == 0 {
		return Pass, "nothing of its own"
	}
	record, wrong := parseDMARC(texts)
	switch {
	case wrong != "":
		return Warn, wrong
	case record.policy("p") == "reject":
		return Pass, excerpt(record.text)
	}
	return Fail, excerpt(record.text) + ": weaker than the domain's policy, which it takes the place of"
}

// reportsWanted judges whether the domains that reports are sent to want them:
// unless they say so, nothing is sent (RFC 9990 §4).
func reportsWanted(e *evidence) (Verdict, string) {
	if len(e.reports) == 0 {
		for _, s := range e.living() {
			for _, a := range s.answersOf("_dmarc", dns.TypeTXT) {
				if record, _ := parseDMARC(a.texts()); len(record.mailboxes()) > 0 {
					return Pass, "they go to addresses of the same organisation"
				}
			}
		}
		return Info, "none are asked for: nobody learns of forgeries"
	}
	var unwanted, unknown []string
	for _, t := range e.reports {
		name := e.domain + "._report._dmarc." + t.domain
		switch {
		case t.answer.failed() != "":
			unknown = append(unknown, name+": "+t.answer.failed())
		case !slices.ContainsFunc(t.answer.texts(), isDMARC):
			unwanted = append(unwanted, name+" does not say so")
		}
	}
	switch {
	case len(unwanted) > 0:
		return Fail, "reports are not wanted where they go: " + several(unwanted)
	case len(unknown) > 0:
		return Warn, "whether reports are wanted where they go is not known: " + several(unknown)
	}
	return Pass, "wanted by " + several(targets(e.reports))
}

func isDMARC(text string) bool {
	version, _, _ := strings.Cut(text, ";")
	return strings.ReplaceAll(version, " ", "") == "v=DMARC1"
}

func targets(reports []reportTarget) (out []string) {
	for _, t := range reports {
		out = append(out, t.domain)
	}
	return out
}

// sameOrganisation tells whether reports for domain may go to target without
// asking. The public suffix list stands in for the walk of RFC 9989 §4.10,
// which finds the same domain wherever nobody publishes psd=.
func sameOrganisation(target, domain string) bool {
	if within(target, domain) {
		return true
	}
	a, errA := publicsuffix.EffectiveTLDPlusOne(target)
	b, errB := publicsuffix.EffectiveTLDPlusOne(domain)
	return errA == nil && errB == nil && a == b
}
