package audit

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

var (
	errNoResolver = errors.New("there is no resolver to ask")
	errNotAsked   = errors.New("was not asked")
)

// answer is what became of a question: a message or an error.
type answer struct {
	msg *dns.Msg
	err error
}

// failed says why there are no records to judge; empty when there may be some.
func (a answer) failed() string {
	switch {
	case a.err != nil:
		return a.err.Error()
	case a.msg == nil:
		return errNotAsked.Error()
	case a.msg.Rcode != dns.RcodeSuccess && a.msg.Rcode != dns.RcodeNameError:
		return "answers " + rcode(a.msg)
	}
	return ""
}

func rcode(m *dns.Msg) string {
	if name, ok := dns.RcodeToString[m.Rcode]; ok {
		return name
	}
	return fmt.Sprintf("RCODE%d", m.Rcode)
}

func (a answer) exists() bool { return a.msg != nil && a.msg.Rcode == dns.RcodeSuccess }

// maxAliases bounds a chain of CNAME records, as resolvers do.
const maxAliases = 16

// end follows the CNAME records of the answer from the name that was asked for.
// alias tells that there is one.
func (a answer) end() (name string, alias bool) {
	if a.msg == nil || len(a.msg.Question) == 0 {
		return "", false
	}
	name = a.msg.Question[0].Name
	if a.msg.Question[0].Qtype == dns.TypeCNAME {
		return name, false
	}
	for range maxAliases {
		next := ""
		for _, rr := range a.msg.Answer {
			if c, ok := rr.(*dns.CNAME); ok && strings.EqualFold(c.Hdr.Name, name) {
				next = c.Target
			}
		}
		if next == "" {
			break
		}
		name, alias = next, true
	}
	return name, alias
}

// records are the records that were asked for, at the end of aliases.
func (a answer) records() (rrs []dns.RR) {
	name, _ := a.end()
	if name == "" {
		return nil
	}
	for _, rr := range a.msg.Answer {
		h := rr.Header()
		if h.Rrtype == a.msg.Question[0].Qtype && strings.EqualFold(h.Name, name) {
			rrs = append(rrs, rr)
		}
	}
	return rrs
}

// dangling tells of an alias whose target the server did not tell about.
func (a answer) dangling() bool {
	_, alias := a.end()
	return alias && len(a.records()) == 0
}

// texts are the TXT records, each with its strings joined (RFC 7208 §3.3).
func (a answer) texts() (texts []string) {
	for _, rr := range a.records() {
		if t, ok := rr.(*dns.TXT); ok {
			texts = append(texts, unescape(strings.Join(t.Txt, "")))
		}
	}
	return texts
}

// unescape turns the library's text form of a string, which spells some bytes
// as \DDD or \X, into its bytes (RFC 1035 §5.1).
func unescape(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] != '\\' || i+1 == len(text):
			out = append(out, text[i])
		case i+3 < len(text) && digits(text[i+1:i+4]):
			out = append(out, byte(100*int(text[i+1]-'0')+10*int(text[i+2]-'0')+int(text[i+3]-'0')))
			i += 3
		default:
			out = append(out, text[i+1])
			i++
		}
	}
	return string(out)
}

func digits(s string) bool { return strings.Trim(s, "0123456789") == "" }

// key is the same for answers that say the same: TTLs and order aside.
func (a answer) key() string {
	if text := a.failed(); text != "" {
		return text
	}
	lines := []string{rcode(a.msg)}
	for _, rr := range a.records() {
		rr = dns.Copy(rr)
		rr.Header().Ttl, rr.Header().Name = 0, "."
		lines = append(lines, rr.String())
	}
	slices.Sort(lines[1:])
	return strings.Join(lines, "\n")
}

// addresses are those of the A and AAAA records in rrs that name has.
func addresses(rrs []dns.RR, name string) (out []netip.Addr) {
	for _, rr := range rrs {
		if !strings.EqualFold(rr.Header().Name, dns.Fqdn(name)) {
			continue
		}
		var ip []byte
		switch rr := rr.(type) {
		case *dns.A:
			ip = rr.A
		case *dns.AAAA:
			ip = rr.AAAA
		}
		if addr, ok := netip.AddrFromSlice(ip); ok && !slices.Contains(out, addr.Unmap()) {
			out = append(out, addr.Unmap())
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out
}

// hosts are the names in the NS records of rrs that belong to owner, in lower
// case and without the final dot, sorted.
func hosts(rrs []dns.RR, owner string) (names []string) {
	for _, rr := range rrs {
		if ns, ok := rr.(*dns.NS); ok && strings.EqualFold(ns.Hdr.Name, dns.Fqdn(owner)) {
			if name := plain(ns.Ns); !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// plain is a name as people write it.
func plain(name string) string {
	if name == "." {
		return name
	}
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

// within tells whether name is domain or lies below it. Both are plain.
func within(name, domain string) bool {
	return name == domain || domain == "." || strings.HasSuffix(name, "."+domain)
}
