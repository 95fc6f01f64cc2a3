package audit

import (
	"context"
	"net/netip"
	"slices"
	"sync"

	"domainpark/query"

	"github.com/miekg/dns"
)

// evidence is all that was asked about a domain and what came back.
type evidence struct {
	domain     string
	transport  query.Transport
	resolvers  bool        // there is a resolver to ask
	delegation *delegation // nil: one server was asked, whatever the delegation
	servers    []*server
	resolved   answer // SOA, by the resolver
	dnskey     answer // by a server
	reports    []reportTarget
}

// server is a name server's address and what it said.
type server struct {
	Server
	glued   bool   // the address is from the parent zone alone
	main    answer // SOA over the transport of the audit
	udp     answer // SOA
	tcp     answer // SOA
	ns      answer
	foreign answer              // a name of somebody else's, recursion desired
	records []answer            // one for each row of recordChecks
	own     map[string][]answer // A and AAAA of name servers in the domain
	offers  []offer
	shown   error // what is wrong with the certificate of the audit's transport
}

// alive tells whether a server is worth more questions.
func (s *server) alive() bool { return s.main.failed() == "" }

// String is how reports call the server.
func (s *server) String() string {
	if s.Name == "" {
		return s.Addr.String()
	}
	return s.Name + " (" + s.Addr.Addr().String() + ")"
}

// living are the servers that answer.
func (e *evidence) living() (out []*server) {
	for _, s := range e.servers {
		if s.alive() {
			out = append(out, s)
		}
	}
	return out
}

// gathering is one call of gather: the questions that are under way.
type gathering struct {
	*Audit
	*evidence
	ctx    context.Context
	random string
	slots  chan struct{}
	wg     sync.WaitGroup
}

// ask asks s over a transport and stores the answer in to. Wait waits for it.
func (g *gathering) ask(s *server, transport query.Transport, m *dns.Msg, to *answer) {
	g.do(func() { *to = g.now(s, transport, m) })
}

func (g *gathering) now(s *server, transport query.Transport, m *dns.Msg) answer {
	r, err := g.client.ask(g.ctx, g.endpoint(s, transport), m)
	return answer{r, err}
}

// endpoint is s on a transport. The address that was chosen by hand has the
// port of the transport that was.
func (g *gathering) endpoint(s *server, transport query.Transport) endpoint {
	addr := s.Addr
	if g.delegation != nil {
		addr = netip.AddrPortFrom(addr.Addr(), g.ports[transport])
	}
	return endpoint{transport, addr, s.Name}
}

// do runs f when a question may be asked, or not at all when time is over.
func (g *gathering) do(f func()) {
	g.wg.Go(func() {
		select {
		case g.slots <- struct{}{}:
			defer func() { <-g.slots }()
			f()
		case <-g.ctx.Done():
		}
	})
}

// gather asks everything, in rounds: what a round asks for follows from the
// answers before.
func (a *Audit) gather(ctx context.Context, domain string) *evidence {
	g := &gathering{
		Audit:    a,
		evidence: &evidence{domain: domain, transport: a.cfg.Transport, resolvers: len(a.cfg.Resolvers) > 0},
		ctx:      ctx,
		random:   a.random(),
		slots:    make(chan struct{}, a.cfg.Questions),
	}
	if a.cfg.Server.Addr.IsValid() {
		g.servers = []*server{{Server: a.cfg.Server}}
	} else if g.delegation = a.delegated(ctx, domain); g.delegation.err == nil {
		g.findServers(slices.Clone(g.delegation.names))
	}
	known := len(g.servers)
	g.askServers(g.servers)
	if g.delegation != nil && g.delegation.err == nil {
		g.findServers(g.childNames()) // those that only the domain itself knows
		g.askServers(g.servers[known:])
	}
	g.askRecords()
	g.askReports()
	return g.evidence
}

// childNames are the name servers that the living servers tell.
func (e *evidence) childNames() (names []string) {
	for _, s := range e.living() {
		for _, name := range hosts(s.ns.records(), e.domain) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// findServers finds the addresses of name servers: by glue for those that lie
// in the domain, by the resolver for others. Of many that are not known yet it
// takes maxServers: a hostile server names thousands, of anybody's, and the
// resolver would have to look for them all.
func (g *gathering) findServers(names []string) {
	names = slices.DeleteFunc(names, func(name string) bool {
		return slices.ContainsFunc(g.servers, func(s *server) bool { return s.Name == name })
	})
	names = names[:min(len(names), maxServers)]
	found := make([][]*server, len(names))
	for i, name := range names {
		g.do(func() {
			addrs, glued := g.delegation.glue[name], within(name, g.domain)
			if !glued {
				addrs = g.addressesOf(g.ctx, name)
			}
			for _, addr := range addrs[:min(len(addrs), maxAddresses)] {
				found[i] = append(found[i], &server{Server: Server{name, netip.AddrPortFrom(addr, g.ports[query.UDP])}, glued: glued})
			}
		})
	}
	g.wg.Wait()
	for _, servers := range found {
		g.servers = append(g.servers, servers...)
	}
	g.servers = g.servers[:min(len(g.servers), maxServers*maxAddresses)]
}

// foreignName is somebody else's, whoever is audited (RFC 2606 §3). A server of
// parked domains may well be asked about it, but not with recursion.
const foreignName = "www.example.net"

// askServers asks each server whether it is one.
func (g *gathering) askServers(servers []*server) {
	soa := question(g.domain, dns.TypeSOA, false)
	plainText := g.delegation != nil || !g.transport.Encrypted()
	for _, s := range servers {
		if plainText {
			g.ask(s, query.UDP, soa, &s.udp)
			g.ask(s, query.TCP, soa, &s.tcp)
		}
		if g.transport != query.UDP && g.transport != query.TCP {
			g.ask(s, g.transport, soa, &s.main)
		}
	}
	g.wg.Wait()
	for _, s := range servers {
		switch g.transport {
		case query.UDP:
			s.main = s.udp
		case query.TCP:
			s.main = s.tcp
		}
		if s.alive() {
			s.shown, _ = g.client.certificate(g.endpoint(s, g.transport))
			g.ask(s, g.transport, question(g.domain, dns.TypeNS, false), &s.ns)
			g.ask(s, g.transport, question(foreignName, dns.TypeA, true), &s.foreign)
		}
	}
	g.wg.Wait()
}

// askRecords asks every living server for every record, and what else there is
// to know of a domain that has servers.
func (g *gathering) askRecords() {
	living := g.living()
	for _, s := range living {
		s.records = make([]answer, len(recordChecks))
		for i := range recordChecks {
			c := &recordChecks[i]
			g.do(func() { s.records[i] = g.record(s, c.owner(g.random, g.domain), c.qtype) })
		}
		if g.delegation != nil {
			g.askHosts(s)
			g.askOffers(s)
		}
	}
	if len(living) > 0 {
		g.ask(living[0], g.transport, question(g.domain, dns.TypeDNSKEY, false), &g.dnskey)
	}
	if g.delegation != nil {
		g.do(func() { g.resolved = g.resolve(g.ctx, g.domain, dns.TypeSOA) })
	}
	g.wg.Wait()
}

// record asks a server for a record. An alias that leads elsewhere is left to
// the resolver.
func (g *gathering) record(s *server, name string, qtype uint16) answer {
	a := g.now(s, g.transport, question(name, qtype, false))
	if !a.dangling() || !g.resolvers {
		return a
	}
	if r := g.resolve(g.ctx, name, qtype); r.failed() == "" {
		return r
	}
	return a
}

// askHosts asks a server for the addresses of the name servers in its domain.
func (g *gathering) askHosts(s *server) {
	s.own = map[string][]answer{}
	for _, name := range g.delegation.names {
		if !within(name, g.domain) {
			continue
		}
		answers := make([]answer, 2)
		s.own[name] = answers
		g.ask(s, g.transport, question(name, dns.TypeA, false), &answers[0])
		g.ask(s, g.transport, question(name, dns.TypeAAAA, false), &answers[1])
	}
}

// askOffers tries the encrypted transports.
func (g *gathering) askOffers(s *server) {
	s.offers = make([]offer, len(offered))
	for i, transport := range offered {
		g.do(func() { s.offers[i] = g.try(g.ctx, g.endpoint(s, transport), g.domain) })
	}
}

// answersOf are the answers to the rows about a name and type.
func (s *server) answersOf(name string, qtype uint16) (out []answer) {
	for i := range recordChecks {
		if recordChecks[i].name == name && recordChecks[i].qtype == qtype {
			out = append(out, s.records[i])
		}
	}
	return out
}
