package resolver

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// values are what the profile's substitutions stand for.
type values struct {
	servers []server
	rname   string
	rua     string
	ruf     string
	iodef   []string
}

// server is a name server with its name in both forms.
type server struct {
	text string // with the final dot
	wire []byte
	addr []netip.Addr
}

// addressTTL is that of the name servers' own addresses, in seconds: a day, as
// the delegation's.
const addressTTL = 86400

// fill returns text with its substitutions filled in, once for each value of
// {ns} or {iodef} when it has one of them: none when there are no values.
func (v *values) fill(text string) ([]string, error) {
	single := map[string]string{
		"{mname}": v.servers[0].text,
		"{rname}": v.rname,
		"{rua}":   v.rua,
		"{ruf}":   v.ruf,
		"{base}":  fmt.Sprintf(`\%03d`, basePlaceholder),
		"{ns}":    "",
		"{iodef}": "",
	}
	var many []string
	var which string
	var b strings.Builder
	for rest := text; ; {
		before, after, found := strings.Cut(rest, "{")
		b.WriteString(before)
		if !found {
			break
		}
		name, behind, closed := strings.Cut(after, "}")
		key := "{" + name + "}"
		value, known := single[key]
		switch {
		case !closed || !known:
			token := strings.Fields("{" + after)[0]
			if closed && strings.Contains(token, "}") {
				token = key
			}
			return nil, &tokenError{token, fmt.Sprintf("found %q, expected one of {ns} {mname} {rname} {rua} {ruf} {iodef} {base}", token)}
		case key == "{ns}":
			which = key
			for _, s := range v.servers {
				many = append(many, s.text)
			}
			value = key
		case key == "{iodef}":
			which = key
			many = append(many, v.iodef...)
			value = key
		case key == "{base}" && !standsAlone(before, behind, text):
			return nil, &tokenError{key, "{base} stands alone in a label, or within a quoted text"}
		}
		b.WriteString(value)
		rest = behind
	}
	if which == "" {
		return []string{b.String()}, nil
	}
	if strings.Count(b.String(), which) > 1 || strings.Contains(text, "{ns}") && strings.Contains(text, "{iodef}") {
		return nil, &tokenError{which, fmt.Sprintf("more than one %s in a record, which stands once for each value", which)}
	}
	var out []string
	for _, value := range many {
		out = append(out, strings.Replace(b.String(), which, value, 1))
	}
	return out, nil
}

// standsAlone tells whether {base} between before and behind is a whole label
// at the end of a name; within quotes it always may stand.
func standsAlone(before, behind, text string) bool {
	if strings.Count(text[:len(text)-len(behind)], `"`)%2 == 1 {
		return true
	}
	left := before == "" || strings.HasSuffix(before, ".") || strings.HasSuffix(before, " ") || strings.HasSuffix(before, "\t")
	behind = strings.TrimPrefix(behind, ".")
	return left && (behind == "" || behind[0] == ' ' || behind[0] == '\t')
}

// addAddresses adds the configured addresses of the host that ns names to the
// additional section.
func (v *values) addAddresses(b *builder, ns *dns.NS) error {
	for _, s := range v.servers {
		if !strings.EqualFold(s.text, ns.Ns) {
			continue
		}
		if err := addSets(b, s); err != nil {
			return err
		}
	}
	return nil
}

// addSets adds the addresses of one host, the A records as one set and the
// AAAA records as another.
func addSets(b *builder, s server) error {
	for _, four := range []bool{true, false} {
		before := b.ar
		for _, a := range s.addr {
			if a.Is4() != four {
				continue
			}
			if err := b.add(&b.ar, s.wire, addressRecord(a)); err != nil {
				return err
			}
		}
		if b.ar > before {
			b.endSet()
		}
	}
	return nil
}

// addressRecord is the A or AAAA record for a, its owner left to the builder.
func addressRecord(a netip.Addr) dns.RR {
	h := dns.RR_Header{Name: ".", Class: dns.ClassINET, Ttl: addressTTL}
	if a.Is4() {
		h.Rrtype = dns.TypeA
		return &dns.A{Hdr: h, A: a.AsSlice()}
	}
	h.Rrtype = dns.TypeAAAA
	return &dns.AAAA{Hdr: h, AAAA: a.AsSlice()}
}

// mailboxName turns local@domain into the form of an RNAME (RFC 1035 §8).
func mailboxName(mailbox string) (string, error) {
	i := strings.LastIndexByte(mailbox, '@')
	if i <= 0 || i == len(mailbox)-1 {
		return "", fmt.Errorf("%q is not a mailbox; expected local@domain", mailbox)
	}
	var b strings.Builder
	for _, c := range []byte(mailbox[:i]) {
		switch {
		case strings.IndexByte(`.\"();@$`, c) >= 0:
			b.WriteByte('\\')
			b.WriteByte(c)
		case c <= ' ' || c > '~':
			fmt.Fprintf(&b, `\%03d`, c)
		default:
			b.WriteByte(c)
		}
	}
	name := b.String() + "." + dns.Fqdn(mailbox[i+1:])
	if _, err := wireName(name); err != nil {
		return "", fmt.Errorf("mailbox %q: %w", mailbox, err)
	}
	return name, nil
}

// mailboxURI turns local@domain into a mailto URI that may stand in a DMARC
// record, where commas, semicolons and exclamation marks have a meaning of
// their own (RFC 9989 §4.7, RFC 6068 §2). What is a URI already stays one.
func mailboxURI(mailbox string) string {
	if hasScheme(mailbox) {
		return mailbox
	}
	var b strings.Builder
	b.WriteString("mailto:")
	for _, c := range []byte(mailbox) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~$'*+@=", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func hasScheme(s string) bool {
	for _, scheme := range []string{"mailto:", "http:", "https:"} {
		if len(s) > len(scheme) && strings.EqualFold(s[:len(scheme)], scheme) {
			return true
		}
	}
	return false
}

// reportTag is a tag of the DMARC record with the blank in front of it, or
// nothing when there are no mailboxes.
func reportTag(tag string, mailboxes []string) string {
	if len(mailboxes) == 0 {
		return ""
	}
	uris := make([]string, len(mailboxes))
	for i, m := range mailboxes {
		uris[i] = mailboxURI(m)
	}
	return " " + tag + "=" + quoted(strings.Join(uris, ",")) + ";"
}

// quoted escapes s for a quoted text of a master file.
func quoted(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s)
}
