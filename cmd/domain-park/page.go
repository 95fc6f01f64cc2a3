package main

import (
	"net"
	"net/http"
	"net/url"
	"strings"

	"domainpark/listeners"

	"github.com/miekg/dns"
)

// page is the page for people, at / of the DoH addresses.
func (p *plan) page() (http.Handler, error) {
	host := p.host()
	data := listeners.PageData{
		Host: host,
		DoT:  endpoint(host, p.listen.DoT, "853"),
		DoQ:  endpoint(host, p.listen.DoQ, "853"),
	}
	if at := endpoint(host, p.listen.DoH, "443"); at != "" {
		data.DoH = (&url.URL{Scheme: "https", Host: at, Path: "/dns-query"}).String()
	}
	for _, n := range p.settings.NameServers {
		ns := listeners.PageNameServer{Name: n.Name}
		for _, a := range n.Addresses {
			ns.Addresses = append(ns.Addresses, a.String())
		}
		data.NameServers = append(data.NameServers, ns)
	}
	for _, s := range shown {
		m, err := p.ask(dns.Fqdn(s.owner+p.example()), s.qtype)
		if err != nil {
			return nil, err
		}
		for _, rr := range m.Answer {
			data.Records = append(data.Records, listeners.PageRecord{
				Name:    strings.TrimSuffix(rr.Header().Name, "."),
				Type:    dns.Type(rr.Header().Rrtype).String(),
				Data:    strings.TrimPrefix(rr.String(), rr.Header().String()),
				Meaning: s.meaning,
			})
		}
	}
	return listeners.NewPage(data), nil
}

// host is what this server is called: the name in its certificate, or its
// first name server.
func (p *plan) host() string {
	if hosts := p.settings.TLS.ACME.Hosts; len(hosts) > 0 {
		return hosts[0]
	}
	return p.settings.NameServers[0].Name
}

// endpoint is where a client finds a transport: host, with a port unless it is
// the usual one. Empty when nothing is listened on.
func endpoint(host string, listen []string, usual string) string {
	if len(listen) == 0 {
		return ""
	}
	_, port, err := net.SplitHostPort(listen[0])
	if err != nil || port == usual {
		return host
	}
	return net.JoinHostPort(host, port)
}
