package audit

import (
	"context"
	"sync"

	"domainpark/query"

	"github.com/miekg/dns"
)

// offer is a try of an encrypted transport.
type offer struct {
	transport   query.Transport
	answer      answer
	certificate error // what a client that verifies would say
}

// offers are the tries so far: thousands of domains have a few servers in
// common, which need not shake hands for each of them.
type offers struct {
	mu  sync.Mutex
	all map[endpoint]*tried
}

// tried is one try. ready is closed when the rest is set.
type tried struct {
	ready chan struct{}
	offer
}

// try asks e for the domain's SOA record, unless somebody did so before: what
// counts is that it answers. What was found while ctx ended is not kept.
func (a *Audit) try(ctx context.Context, e endpoint, domain string) offer {
	a.offers.mu.Lock()
	t, known := a.offers.all[e]
	if !known {
		t = &tried{ready: make(chan struct{})}
		a.offers.all[e] = t
	}
	a.offers.mu.Unlock()
	if known {
		select {
		case <-t.ready:
			return t.offer
		case <-ctx.Done():
			return offer{transport: e.transport, answer: answer{err: ctx.Err()}}
		}
	}
	r, err := a.client.ask(ctx, e, question(domain, dns.TypeSOA, false))
	t.offer = offer{transport: e.transport, answer: answer{r, err}}
	t.offer.certificate, _ = a.client.certificate(e)
	close(t.ready)
	if ctx.Err() != nil {
		a.offers.mu.Lock()
		delete(a.offers.all, e)
		a.offers.mu.Unlock()
	}
	if e.transport != a.cfg.Transport {
		a.client.drop(e)
	}
	return t.offer
}
