package main

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"sync/atomic"

	"github.com/miekg/dns"
)

// confinedNames looks names up for ACME from within the sandbox. Go's own
// resolver is used, because the system's would load libraries. When resolv.conf
// is replaced, the sandbox does not know the new file, and that resolver would ask
// 127.0.0.1, which may well be us: the servers from the start are asked instead.
type confinedNames struct {
	servers []string // host:port, from the start
	next    atomic.Uint32
	read    func() error // tries to open resolv.conf
}

func newConfinedNames(file string) *confinedNames {
	n := &confinedNames{read: func() error {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		return f.Close()
	}}
	if conf, err := dns.ClientConfigFromFile(file); err == nil {
		for _, server := range conf.Servers {
			n.servers = append(n.servers, net.JoinHostPort(server, conf.Port))
		}
	}
	return n
}

// resolver is for lookups in the whole program.
func (n *confinedNames) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, server string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, n.server(server))
	}}
}

// server is which server to ask when the resolver would ask chosen: each of the
// known ones in turn when resolv.conf is out of reach.
func (n *confinedNames) server(chosen string) string {
	if len(n.servers) == 0 || !errors.Is(n.read(), fs.ErrPermission) {
		return chosen
	}
	return n.servers[int(n.next.Add(1)-1)%len(n.servers)]
}
