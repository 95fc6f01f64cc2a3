package main

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"text/tabwriter"

	"domainpark/config"
)

type checkCommand struct {
	source
	Sample bool `help:"Print a settings file with every default and what it means, and exit."`
}

// Run prints what the settings come to; its error is what is wrong with them.
func (c *checkCommand) Run() error {
	if c.Sample {
		_, err := io.WriteString(os.Stdout, config.Sample())
		return err
	}
	srv, err := c.load()
	if err != nil {
		return err
	}
	if _, err := identityOf(srv.settings); err != nil {
		return err
	}
	if err := srv.checkCertificates(); err != nil {
		return err
	}
	name := c.Config
	if name == "" {
		name = "the flags"
	}
	fmt.Printf("%s: ok\n", name)
	return srv.describe(os.Stdout)
}

// describe writes what is listened on, what is answered, and what may not be
// meant so.
func (srv *server) describe(w io.Writer) error {
	s := srv.settings
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i, n := range s.NameServers {
		fmt.Fprintf(t, "%s\t%s\n", first(i, "name servers"), nameServer(n))
	}
	for i, l := range listening(srv.listen) {
		fmt.Fprintf(t, "%s\t%s %s\n", first(i, "listens on"), l.transport, strings.Join(l.addresses, " "))
	}
	fmt.Fprintf(t, "profile\t%s\n", or(s.Parking.Profile.Path, "built in"))
	fmt.Fprintf(t, "parks\t%s\n", parked(s))
	if zones := srv.zonesText(); zones != "" {
		fmt.Fprintf(t, "zones\t%s\n", zones)
	}
	for i, note := range srv.notes() {
		fmt.Fprintf(t, "%s\t%s\n", first(i, "note"), note)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return srv.showAnswers(w)
}

// first is the title of the first line of several, and nothing for the others.
func first(i int, title string) string {
	if i > 0 {
		return ""
	}
	return title
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func nameServer(n config.NameServer) string {
	if len(n.Addresses) == 0 {
		return n.Name
	}
	return n.Name + " " + strings.Trim(fmt.Sprint(n.Addresses), "[]")
}

func parked(s *config.Settings) string {
	switch n := len(s.Parking.Only); n {
	case 0:
		return "every domain but " + or(strings.Join(s.Parking.Refuse, ", "), "none")
	case 1:
		return s.Parking.Only[0]
	default:
		return fmt.Sprintf("%s and %d more", s.Parking.Only[0], n-1)
	}
}

type transport struct {
	transport string
	addresses []string
}

// size is how many addresses there are.
func size(l config.Listen) (n int) {
	for _, t := range listening(l) {
		n += len(t.addresses)
	}
	return n
}

// listening lists the transports that are on.
func listening(l config.Listen) []transport {
	var out []transport
	for _, t := range []transport{{"udp", l.UDP}, {"tcp", l.TCP}, {"dot", l.DoT}, {"doh", l.DoH}, {"doq", l.DoQ}, {"http", l.HTTP}, {"admin", l.Admin}} {
		if len(t.addresses) > 0 {
			out = append(out, t)
		}
	}
	return out
}

// notes are about settings that work and may not be meant.
func (srv *server) notes() []string {
	var out []string
	if len(srv.settings.NameServers) == 1 {
		out = append(out, "one name server: registries ask for two or more (RFC 2182)")
	}
	if len(srv.listen.UDP) == 0 || len(srv.listen.TCP) == 0 {
		out = append(out, "resolvers expect both UDP and TCP (RFC 9210)")
	}
	local := true
	for _, l := range listening(srv.listen) {
		for _, a := range l.addresses {
			local = local && (l.transport == "admin" || loopback(a))
		}
	}
	if local {
		out = append(out, "loopback only: nobody outside this machine is answered")
	}
	out = append(append(out, srv.adminNotes()...), srv.rootNotes()...)
	out = append(out, srv.caaNotes()...)
	return append(out, srv.certificateNotes()...)
}

func loopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
