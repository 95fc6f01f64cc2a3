package audit

import (
	"fmt"
	"slices"
	"strings"

	"domainpark/query"

	"github.com/miekg/dns"
)

// certificate judges what the chosen server shows to clients that verify.
func certificate(e *evidence) (Verdict, string) {
	if !e.transport.Encrypted() || len(e.living()) == 0 {
		return Info, ""
	}
	if err := e.servers[0].shown; err != nil {
		return Warn, strings.TrimPrefix(err.Error(), "x509: ")
	}
	return Pass, "verifies"
}

// dnssec judges whether the parent's DS records fit the domain's keys. A parked
// domain is unsigned, and DS records left from its former life make it vanish.
func dnssec(e *evidence) (Verdict, string) {
	var ds []*dns.DS
	if e.delegation != nil {
		for _, rr := range e.delegation.ds.records() {
			if rr, ok := rr.(*dns.DS); ok {
				ds = append(ds, rr)
			}
		}
	}
	var keys []*dns.DNSKEY
	for _, rr := range e.dnskey.records() {
		if rr, ok := rr.(*dns.DNSKEY); ok {
			keys = append(keys, rr)
		}
	}
	switch {
	case len(ds) == 0 && len(keys) == 0:
		return Info, "unsigned"
	case e.delegation == nil:
		return Info, fmt.Sprintf("%d keys", len(keys))
	case len(ds) == 0:
		return Info, fmt.Sprintf("%d keys, and no DS in %s: nobody validates", len(keys), zoneName(e.delegation.parent))
	case len(keys) == 0:
		return Fail, fmt.Sprintf("%d DS records in %s, and no key at the domain", len(ds), zoneName(e.delegation.parent))
	case !anyFits(ds, keys):
		return Fail, fmt.Sprintf("none of %d DS records in %s fits a key of the domain", len(ds), zoneName(e.delegation.parent))
	}
	switch {
	case e.resolved.msg != nil && e.resolved.msg.AuthenticatedData:
		return Pass, "signed, and the resolver validates it"
	case e.resolved.msg != nil && e.resolved.msg.Rcode == dns.RcodeServerFailure:
		return Fail, "DS and keys fit, but the resolver answers SERVFAIL: are the signatures still valid?"
	}
	return Pass, "signed; the resolver does not say whether it validates"
}

// anyFits tells whether a DS record is that of a key (RFC 4034 §5.2). There are
// few of both, unless somebody wants to keep us busy.
func anyFits(ds []*dns.DS, keys []*dns.DNSKEY) bool {
	const most = 32
	for _, key := range keys[:min(len(keys), most)] {
		for _, d := range ds[:min(len(ds), most)] {
			if d.KeyTag != key.KeyTag() {
				continue
			}
			if made := key.ToDS(d.DigestType); made != nil && strings.EqualFold(made.Digest, d.Digest) {
				return true
			}
		}
	}
	return false
}

// resolution judges what a resolver makes of the domain.
func resolution(e *evidence) (Verdict, string) {
	if text := e.resolved.failed(); text != "" {
		return Fail, text
	}
	if soa(e.resolved) == nil {
		return Fail, "the resolver finds no SOA record"
	}
	return Pass, "the resolver finds the domain"
}

// offered are the encrypted transports that servers are tried on.
var offered = []query.Transport{query.DoT, query.DoQ, query.DoH}

// encryption judges an encrypted transport, which no resolver has to find.
func encryption(transport query.Transport) func(e *evidence) (Verdict, string) {
	i := slices.Index(offered, transport)
	return func(e *evidence) (Verdict, string) {
		living := e.living()
		var yes, unverified []string
		for _, s := range living {
			o := s.offers[i]
			if o.answer.failed() != "" {
				continue
			}
			yes = append(yes, s.String())
			if o.certificate != nil {
				unverified = append(unverified, s.String()+" "+strings.TrimPrefix(o.certificate.Error(), "x509: "))
			}
		}
		switch {
		case len(yes) == 0:
			return Info, "not offered"
		case len(yes) < len(living):
			return Info, fmt.Sprintf("offered by %d of %d addresses", len(yes), len(living))
		case len(unverified) > 0:
			return Info, "offered; clients that verify do not take the certificate: " + several(unverified)
		}
		return Pass, fmt.Sprintf("offered by all %d addresses, certificates verify", len(living))
	}
}
