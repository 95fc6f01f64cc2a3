package main

import (
	"errors"
	"log/slog"
	"slices"

	"github.com/coreos/go-systemd/v22/activation"

	"domainpark/config"
	"domainpark/listeners"
)

// inherit takes over the sockets that a service manager has passed on
// (sd_listen_fds(3)); nil when there are none.
func (c *serveCommand) inherit() error {
	const forget = true // processes that this one starts have nothing to do with them
	var err error
	if c.inherited, err = listeners.Inherit(activation.Files(forget)); err != nil {
		return err
	}
	if c.inherited != nil && c.Overlap {
		return errors.New("--overlap: the service manager has passed on sockets, and keeps them over a restart by itself; hint: leave it out")
	}
	return nil
}

// whereInherited is l with the addresses of the inherited sockets, for the
// transports that have some.
func whereInherited(l config.Listen, sockets *listeners.Inherited) config.Listen {
	for _, t := range addressLists(&l) {
		if own := sockets.Addresses(t.transport); own != nil {
			*t.list = own
		}
	}
	return l
}

// announceInherited tells where the operator's addresses are not used.
func (srv *server) announceInherited(log *slog.Logger) {
	written := srv.settings.Listen
	for _, t := range addressLists(&written) {
		own := srv.source.inherited.Addresses(t.transport)
		if own != nil && !slices.Equal(own, *t.list) && srv.settings.Given("listen."+t.transport) {
			log.Info("the service manager's sockets are used, and not the addresses of the settings",
				"transport", t.transport, "sockets", own, "settings", *t.list)
		}
	}
}

// addressList is the addresses of one transport.
type addressList struct {
	transport string
	list      *[]string
}

func addressLists(l *config.Listen) []addressList {
	return []addressList{{"udp", &l.UDP}, {"tcp", &l.TCP}, {"dot", &l.DoT}, {"doh", &l.DoH}, {"doq", &l.DoQ}, {"http", &l.HTTP}, {"admin", &l.Admin}}
}
