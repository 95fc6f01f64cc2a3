package resolver

import (
	"fmt"
	"runtime"

	"github.com/miekg/dns"
)

// verify verifies what signs a set of o with the zone's keys, as far as that was
// asked for: some 100 µs each (ECDSA), which is too much for each start and reload
// with many zones.
func (s *signedChecker) verify(o *zoneOwner, set, signatures []zoneRecord) {
	for i := range signatures {
		key := s.keys[madeBy(&signatures[i])]
		if key == nil || s.chain.Verified >= s.r.verify {
			continue
		}
		s.chain.Verified++
		if s.chain.Verified%giveWayEvery == 0 {
			runtime.Gosched()
		}
		if err := s.verifyOne(o, set, &signatures[i], key); err != nil {
			s.fail(&signatures[i], "the RRSIG record for the %s records of %s is not good (%s); they were changed after it was made: sign the zone again",
				dns.Type(signatures[i].covers()), text(o.name), err)
		}
	}
}

func (s *signedChecker) verifyOne(o *zoneOwner, set []zoneRecord, signature, key *zoneRecord) error {
	signed, err := signature.unpack(o.name)
	if err != nil {
		return err
	}
	by, err := key.unpack(s.r.apex)
	if err != nil {
		return err
	}
	rrs := make([]dns.RR, len(set))
	for i := range set {
		if rrs[i], err = set[i].unpack(o.name); err != nil {
			return err
		}
	}
	rrsig, ok := signed.(*dns.RRSIG)
	dnskey, both := by.(*dns.DNSKEY)
	if !ok || !both {
		return fmt.Errorf("it can't be read")
	}
	return rrsig.Verify(dnskey, rrs)
}

// unpack is the record as the library has it.
func (r *zoneRecord) unpack(owner string) (dns.RR, error) {
	h := dns.RR_Header{Name: text(owner), Rrtype: r.rrtype, Class: dns.ClassINET, Ttl: r.ttl, Rdlength: uint16(len(r.data))}
	rr, _, err := dns.UnpackRRWithHeader(h, r.data, 0)
	return rr, err
}
