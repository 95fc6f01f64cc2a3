package resolver_test

import (
	"encoding/binary"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"domainpark/query"
	"domainpark/resolver"
)

// reference is a second reading of what is answered: plain, slow, built on
// github.com/miekg/dns, and written without looking at the resolver. Its
// package is not the resolver's, so that it can't lean on it. Where the two
// differ, one of them has misread the contract.
type reference struct {
	cfg      resolver.Config
	servers  map[string][]netip.Addr // by name, labels joined and folded
	refuse   [][]string
	only     [][]string
	apexes   [][]string
	suffixes suffixList
	profiles map[string]*parkedProfile // by base
	cookies  bool                      // DNS cookies are answered
}

// expectation is what the reference answers and how it classes the query.
type expectation struct {
	msg     *dns.Msg // nil: silence
	limit   int      // the largest answer that may be sent, bytes
	padded  bool     // the length is to be a multiple of paddingBlock
	kind    query.Kind
	verdict query.Verdict
	base    []string // labels of the base; nil where there is none
	maxAge  uint32
}

// Sizes and TTLs of DESIGN §3 and §5, written here once more.
const (
	plainUDPBytes    = 512 // RFC 1035 §4.2.1
	ednsUDPBytes     = 1232
	streamBytes      = 65535
	paddingBlock     = 468 // RFC 8467 §4.1
	nameServerTTL    = 86400
	keepaliveUnit    = 100 * time.Millisecond // RFC 7828 §3.1
	noEDE            = -1                     // there is nothing to add to the RCODE; 0 is a code (RFC 8914 §4.1)
	privateListBegin = "===BEGIN PRIVATE DOMAINS==="
)

func newReference(t testing.TB, cfg resolver.Config) *reference {
	t.Helper()
	if cfg.TTL == 0 {
		cfg.TTL = time.Hour
	}
	if cfg.Refuse == nil {
		cfg.Refuse = resolver.DefaultRefuse
	}
	if cfg.Profile.Text == nil {
		cfg.Profile.Text = readFile(t, "parked.zone")
	}
	ref := &reference{
		cfg:      cfg,
		servers:  map[string][]netip.Addr{},
		refuse:   splitAll(cfg.Refuse),
		only:     splitAll(cfg.Only),
		apexes:   splitAll(cfg.Apexes),
		suffixes: newSuffixList(cfg.PublicSuffixes.Text),
		profiles: map[string]*parkedProfile{},
	}
	for _, ns := range cfg.NameServers {
		ref.servers[joined(fold(splitName(ns.Name)))] = ns.Addresses
	}
	return ref
}

// resolve answers one message: the rows of DESIGN §5 from the top, then §3.
func (ref *reference) resolve(q *query.Query) expectation {
	m := readMessage(q.Message)
	e := expectation{limit: streamBytes, kind: query.KindNone, verdict: query.Silent}
	if q.Transport == query.UDP {
		e.limit = plainUDPBytes
	}
	if m.silent {
		return e
	}
	if q.Transport == query.DoQ && !m.malformed && m.opt != nil && m.opt.version == 0 && slices.Contains(m.opt.options, 11) {
		return e // RFC 9250 §5.5.2: fatal to the connection
	}

	answer := &dns.Msg{}
	e.msg = answer
	answer.Id = m.id
	answer.Response = true
	answer.Opcode = m.opcode
	answer.RecursionDesired = m.rd
	answer.CheckingDisabled = m.cd
	if m.hasQuestion {
		answer.Question = []dns.Question{{Name: presentation(m.qname), Qtype: m.qtype, Qclass: m.qclass}}
	}

	refused := func(kind query.Kind, rcode int, ede int) {
		answer.Rcode = rcode
		answer.Authoritative = false
		e.kind, e.verdict = kind, query.Refused
		ref.addOPT(&e, m, q, ede)
	}
	switch {
	case m.opt != nil && m.opt.version > 0 && !m.malformed:
		refused(query.KindBadVers, dns.RcodeBadVers, noEDE)
		return e
	case ref.cookies && !m.cookieOK(): // RFC 7873 §5.2.2; BIND and gdnsd say so whatever the opcode
		refused(query.KindFormErr, dns.RcodeFormatError, noEDE)
		return e
	case m.opcode != dns.OpcodeQuery:
		refused(query.KindNotImp, dns.RcodeNotImplemented, noEDE)
		return e
	case ref.cookies && m.cookieAlone():
		if cookie, _ := m.opt.cookie(); len(cookie) > 8 { // no server half in these tests is one of ours
			refused(query.KindBadCookie, dns.RcodeBadCookie, noEDE)
			return e
		}
		e.kind, e.verdict = query.KindCookie, query.Answered
		ref.addOPT(&e, m, q, noEDE)
		return e
	case !m.hasQuestion || m.malformed:
		refused(query.KindFormErr, dns.RcodeFormatError, noEDE)
		return e
	}

	if ede, ok := ref.answer(&e, m); !ok {
		refused(query.KindRefused, dns.RcodeRefused, ede)
		return e
	}
	e.verdict = query.Answered
	ref.addOPT(&e, m, q, noEDE)
	return e
}

// answer fills in the sections of a well-formed query, or says with which
// extended error it is refused.
func (ref *reference) answer(e *expectation, m message) (ede int, ok bool) {
	switch {
	case m.qclass == dns.ClassCHAOS:
		return noEDE, ref.chaos(e, m)
	case m.qclass != dns.ClassINET:
		return noEDE, false
	case m.qtype == dns.TypeAXFR || m.qtype == dns.TypeIXFR:
		return int(dns.ExtendedErrorCodeProhibited), false
	case ref.nameServerAddress(e, m):
		return noEDE, true
	}
	e.base = ref.base(m.qname)
	if e.base == nil {
		return int(dns.ExtendedErrorCodeNotAuthoritative), false
	}
	e.msg.Authoritative = true

	if m.qtype == dns.TypeANY { // RFC 8482 §4.2
		header := dns.RR_Header{Name: presentation(m.qname), Rrtype: dns.TypeHINFO, Class: dns.ClassINET, Ttl: uint32(ref.cfg.TTL / time.Second)}
		e.msg.Answer = []dns.RR{&dns.HINFO{Hdr: header, Cpu: "RFC8482"}}
		e.kind, e.maxAge = query.KindAnswer, header.Ttl
		return noEDE, true
	}

	profile := ref.profile(e.base)
	relative := m.qname[:len(m.qname)-len(e.base)]
	for _, rr := range profile.lookup(relative, m.qtype) {
		e.msg.Answer = append(e.msg.Answer, withOwner(rr, m.qname))
	}
	if len(e.msg.Answer) == 0 {
		soa := withOwner(profile.lookup(nil, dns.TypeSOA)[0], m.qname[len(relative):]).(*dns.SOA)
		soa.Hdr.Ttl = min(soa.Hdr.Ttl, soa.Minttl) // RFC 2308 §3
		e.msg.Ns = []dns.RR{soa}
		e.kind, e.maxAge = query.KindNoData, soa.Hdr.Ttl
		return noEDE, true
	}
	e.kind, e.maxAge = query.KindAnswer, smallestTTL(e.msg.Answer)
	for _, rr := range e.msg.Answer {
		if ns, ok := rr.(*dns.NS); ok {
			e.msg.Extra = append(e.msg.Extra, ref.addresses(ns.Ns, dns.TypeA)...)
			e.msg.Extra = append(e.msg.Extra, ref.addresses(ns.Ns, dns.TypeAAAA)...)
		}
	}
	return noEDE, true
}

// chaos tells who the server is (RFC 4892).
func (ref *reference) chaos(e *expectation, m message) bool {
	text := ""
	switch joined(fold(m.qname)) {
	case "version.bind", "version.server":
		text = ref.cfg.Identity.Version
	case "id.server", "hostname.bind":
		text = ref.cfg.Identity.ID
	}
	if text == "" || m.qtype != dns.TypeTXT {
		return false
	}
	header := dns.RR_Header{Name: presentation(m.qname), Rrtype: dns.TypeTXT, Class: dns.ClassCHAOS}
	e.msg.Answer = []dns.RR{&dns.TXT{Hdr: header, Txt: []string{text}}}
	e.kind = query.KindChaos
	return true
}

// nameServerAddress answers for the hosts that parked domains point at.
func (ref *reference) nameServerAddress(e *expectation, m message) bool {
	rrs := ref.addresses(presentation(m.qname), m.qtype)
	if len(rrs) == 0 {
		return false
	}
	e.msg.Authoritative = true
	e.msg.Answer = rrs
	e.kind, e.maxAge = query.KindAnswer, nameServerTTL
	return true
}

func (ref *reference) addresses(name string, qtype uint16) []dns.RR {
	var out []dns.RR
	for _, addr := range ref.servers[joined(fold(splitName(name)))] {
		header := dns.RR_Header{Name: name, Rrtype: qtype, Class: dns.ClassINET, Ttl: nameServerTTL}
		switch {
		case qtype == dns.TypeA && addr.Is4():
			out = append(out, &dns.A{Hdr: header, A: addr.AsSlice()})
		case qtype == dns.TypeAAAA && addr.Is6():
			out = append(out, &dns.AAAA{Hdr: header, AAAA: addr.AsSlice()})
		}
	}
	return out
}

// base finds the parked domain that a name belongs to; nil: it is not parked.
func (ref *reference) base(qname []string) []string {
	name := fold(qname)
	if inside(name, ref.refuse) || len(ref.only) > 0 && !inside(name, ref.only) {
		return nil
	}
	base := ref.suffixes.base(name)
	for _, apex := range ref.apexes {
		if isBelow(name, apex) && len(apex) > len(base) {
			base = apex
		}
	}
	return base
}

// addOPT gives an answer the OPT record that its query had (RFC 6891 §6.1.1).
func (ref *reference) addOPT(e *expectation, m message, q *query.Query, ede int) {
	if m.opt == nil {
		return
	}
	if q.Transport == query.UDP {
		e.limit = max(plainUDPBytes, min(int(m.opt.size), ednsUDPBytes))
	}
	e.padded = q.Transport.Encrypted() && e.kind != query.KindBadVers
	opt := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
	opt.SetUDPSize(ednsUDPBytes)
	opt.SetDo(m.opt.do)
	if e.kind != query.KindBadVers {
		if id := ref.cfg.Identity.ID; id != "" && m.opt.asks(dns.EDNS0NSID) {
			opt.Option = append(opt.Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID, Nsid: hexOf(id)})
		}
		if q.Transport.Stream() && m.opt.asks(dns.EDNS0TCPKEEPALIVE) {
			units := min(q.Idle/keepaliveUnit, 65535)
			opt.Option = append(opt.Option, &dns.EDNS0_LOCAL{Code: dns.EDNS0TCPKEEPALIVE, Data: binary.BigEndian.AppendUint16(nil, uint16(units))})
		}
		if cookie, ok := m.opt.cookie(); ref.cookies && len(cookie) >= 8 && ok {
			// The server's half is the guard's business.
			opt.Option = append(opt.Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: hexOf(string(cookie[:8])) + strings.Repeat("00", 16)})
		}
		if ede != noEDE {
			opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: uint16(ede)})
		}
	}
	if e.padded { // how much is a matter of the answer's size
		opt.Option = append(opt.Option, &dns.EDNS0_PADDING{})
	}
	e.msg.Extra = append(e.msg.Extra, opt)
}

func withOwner(rr dns.RR, owner []string) dns.RR {
	rr = dns.Copy(rr)
	rr.Header().Name = presentation(owner)
	return rr
}

func smallestTTL(rrs []dns.RR) uint32 {
	ttls := make([]uint32, 0, len(rrs))
	for _, rr := range rrs {
		ttls = append(ttls, rr.Header().Ttl)
	}
	return slices.Min(ttls)
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
