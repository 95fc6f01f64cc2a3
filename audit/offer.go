package audit

import (
	"context"

	"domainpark/query"

	"github.com/miekg/dns"
)

// offer is a try of an encrypted transport.
type offer struct {
	transport   query.Transport
	answer      answer
	certificate error // what a client that verifies would say
}

// try asks e for the domain's SOA record, unless somebody did so before: what
// counts is that it answers. What was found while ctx ended is not kept.
func (a *Audit) try(ctx context.Context, e endpoint, domain string) offer {
	o, err := a.offers.get(ctx, e, func() (offer, bool) {
		r, err := a.client.ask(ctx, e, question(domain, dns.TypeSOA, false))
		o := offer{transport: e.transport, answer: answer{r, err}}
		o.certificate, _ = a.client.certificate(e)
		if e.transport != a.cfg.Transport {
			a.client.drop(e)
		}
		return o, ctx.Err() == nil
	})
	if err != nil {
		return offer{transport: e.transport, answer: answer{err: err}}
	}
	return o
}
