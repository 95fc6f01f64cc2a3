package resolver

import (
	"fmt"

	"github.com/miekg/dns"
)

func (c *compiler) identity() {
	for _, t := range []struct{ field, text string }{{"Identity.Version", c.cfg.Identity.Version}, {"Identity.ID", c.cfg.Identity.ID}} {
		if len(t.text) > maxStringBytes {
			c.fail(t.field, "%d bytes, more than the %d that fit into one string", len(t.text), maxStringBytes)
		}
	}
}

// fixed compiles the answers that come from no profile.
func (c *compiler) fixed(ttl uint32) {
	h := dns.RR_Header{Name: ".", Class: dns.ClassINET, Ttl: ttl, Rrtype: dns.TypeHINFO}
	c.s.any = c.one(&dns.HINFO{Hdr: h, Cpu: "RFC8482"})
	c.s.nsid = []byte(c.cfg.Identity.ID)
	c.s.version = c.chaosText(c.cfg.Identity.Version)
	c.s.id = c.chaosText(c.cfg.Identity.ID)
}

func (c *compiler) chaosText(text string) *records {
	if text == "" {
		return nil
	}
	// Written by hand: dns.TXT takes presentation format, in which
	// backslashes would have to be escaped.
	h := dns.RR_Header{Name: ".", Class: dns.ClassCHAOS, Rrtype: dns.TypeTXT}
	rdata := append([]byte{byte(len(text))}, text...)
	return c.one(&dns.RFC3597{Hdr: h, Rdata: fmt.Sprintf("%x", rdata)})
}

// one compiles a single record for the answer section.
func (c *compiler) one(rr dns.RR) *records {
	var b builder
	if err := b.add(&b.answer, nil, rr); err != nil {
		c.errs = append(c.errs, err)
	}
	return &b.records
}
