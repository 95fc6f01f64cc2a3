package resolver_test

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"domainpark/query"

	"github.com/miekg/dns"
)

// parseAnswer reads an answer, which must end where its last record does.
func parseAnswer(out []byte) (*dns.Msg, error) {
	m := new(dns.Msg)
	if err := m.Unpack(out); err != nil {
		return nil, fmt.Errorf("answer does not parse: %w", err)
	}
	at := 12
	for range m.Question {
		_, next, _ := readQuestionName(out)
		at = next + 4
	}
	for range len(m.Answer) + len(m.Ns) + len(m.Extra) {
		next, _, ok := readRecord(out, at)
		if !ok {
			return nil, fmt.Errorf("record at byte %d of the answer does not parse", at)
		}
		at = next
	}
	if at != len(out) {
		return nil, fmt.Errorf("%d bytes behind the last record of the answer", len(out)-at)
	}
	return m, nil
}

// canonical sends a message through the wire format, so that both sides'
// records are written alike.
func canonical(m *dns.Msg) (*dns.Msg, error) {
	wire, err := m.Pack()
	if err != nil {
		return nil, err
	}
	out := new(dns.Msg)
	return out, out.Unpack(wire)
}

// sizes says what an answer's size allows. How well an answer is compressed is
// left to the resolver: between the two sizes either is right.
func sizes(q *query.Query, want expectation) (mayTruncate, mustTruncate, mayTrim bool) {
	full := want.msg.Copy()
	loose := full.Len()
	full.Compress = true
	mayTrim = loose > want.limit || mayAmplify(q, loose)
	full.Extra = full.Extra[len(full.Extra)-optCount(full):]
	mustTruncate = full.Len() > want.limit
	full.Compress = false
	return full.Len() > want.limit, mustTruncate, mayTrim
}

// mayAmplify tells whether an answer of so many bytes is more than three times
// its query, IPv4 and UDP headers counted, and may hit somebody who never asked.
func mayAmplify(q *query.Query, answer int) bool {
	return q.Transport == query.UDP && !q.Trusted && q.Cookie != query.CookieValid && answer+28 > 3*(len(q.Message)+28)
}

func optCount(m *dns.Msg) int {
	if m.IsEdns0() != nil {
		return 1
	}
	return 0
}

// records writes a section without its OPT, as a sorted list. Owner names are
// compared with their case, which is the question's; names in RDATA without it
// (RFC 4343 §4).
func records(rrs []dns.RR) []string {
	out := []string{}
	for _, rr := range rrs {
		owner := rr.Header().String()
		rdata := strings.TrimPrefix(rr.String(), owner)
		switch rr.Header().Rrtype {
		case dns.TypeOPT:
			continue
		case dns.TypeTXT: // {base} in a text: how an odd byte of a name is escaped is a matter of taste
			rdata = unescaped(unescaped(rdata))
		case dns.TypeCAA, dns.TypeHINFO:
		default:
			rdata = strings.ToLower(rdata)
		}
		out = append(out, owner+rdata)
	}
	slices.Sort(out)
	return out
}

var escape = regexp.MustCompile(`\\(\d\d\d|.)`)

// unescaped undoes \DDD and \X (RFC 1035 §5.1).
func unescaped(s string) string {
	return escape.ReplaceAllStringFunc(s, func(e string) string {
		if n, err := strconv.ParseUint(e[1:], 10, 8); err == nil && len(e) == 4 {
			return string([]byte{byte(n)})
		}
		return e[1:]
	})
}

func subset(part, whole []string) bool {
	for _, s := range part {
		if !slices.Contains(whole, s) {
			return false
		}
	}
	return true
}

// cutSets lists the RRsets of which only some records are there (RFC 2181 §5.1
// asks for all of them or none).
func cutSets(part, whole []dns.RR) []string {
	count := func(rrs []dns.RR) map[string]int {
		sets := map[string]int{}
		for _, rr := range rrs {
			sets[rr.Header().Name+dns.Type(rr.Header().Rrtype).String()]++
		}
		return sets
	}
	out := []string{}
	all := count(whole)
	for set, n := range count(part) {
		if n != all[set] {
			out = append(out, set)
		}
	}
	return out
}

// options writes an OPT record without what may be as the resolver likes: the
// padding's length, the texts of extended errors, the server's half of a cookie.
func options(m *dns.Msg) string {
	opt := m.IsEdns0()
	if opt == nil {
		return "none"
	}
	var list []string
	for _, o := range opt.Option {
		switch o := o.(type) {
		case *dns.EDNS0_PADDING:
			list = append(list, "padding")
		case *dns.EDNS0_COOKIE:
			list = append(list, fmt.Sprintf("cookie %.16s of %d digits", o.Cookie, len(o.Cookie)))
		case *dns.EDNS0_EDE:
			list = append(list, fmt.Sprintf("EDE %d", o.InfoCode))
		default:
			list = append(list, fmt.Sprintf("%d %s", o.Option(), o))
		}
	}
	slices.Sort(list)
	return fmt.Sprintf("owner %s size %d ttl %08x options %q", opt.Hdr.Name, opt.Hdr.Class, opt.Hdr.Ttl, list)
}

func wireLabels(name []byte) []string {
	labels := []string{}
	for len(name) > 0 && name[0] != 0 {
		n := 1 + int(name[0])
		labels = append(labels, string(name[1:n]))
		name = name[n:]
	}
	return labels
}

// describe shows a query as far as it can be read.
func describe(message []byte) string {
	m := readMessage(message)
	return fmt.Sprintf("%s %s class %d, opcode %d, malformed %t, opt %+v", presentation(m.qname), dns.Type(m.qtype), m.qclass, m.opcode, m.malformed, m.opt)
}
