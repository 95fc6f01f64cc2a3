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
	Sample    bool `help:"Print a settings file with every default and what it means, and exit."`
	Print     bool `help:"Print every setting with its value and where that is from, and nothing else."`
	JSON      bool `name:"json" help:"Print what was found as JSON, and nothing else."`
	Elsewhere bool `help:"The settings are for another machine or user: look at no addresses, rights and directories of this one."`
}

// Run prints what the settings come to; its error is what is wrong with them,
// here and for this user.
func (c *checkCommand) Run() error {
	if c.Sample {
		_, err := io.WriteString(os.Stdout, config.Sample())
		return err
	}
	p, found, err := c.examine()
	if c.JSON && !c.Print {
		return printFindings(os.Stdout, c.Config, found, err)
	}
	if err != nil {
		return err
	}
	if c.Print {
		_, err := io.WriteString(os.Stdout, p.settings.Print())
		return err
	}
	name := c.Config
	if name == "" {
		name = "the flags"
	}
	fmt.Printf("%s: ok\n", name)
	return p.describe(os.Stdout, found)
}

// describe writes what is listened on, what is answered, and what may not be
// meant so.
func (p *plan) describe(w io.Writer, found []finding) error {
	s := p.settings
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i, n := range s.NameServers {
		fmt.Fprintf(t, "%s\t%s\n", first(i, "name servers"), nameServer(n))
	}
	for i, l := range listening(p.listen) {
		fmt.Fprintf(t, "%s\t%s %s\n", first(i, "listens on"), l.transport, strings.Join(l.addresses, " "))
	}
	fmt.Fprintf(t, "profile\t%s\n", or(s.Parking.Profile.Path, "built in"))
	fmt.Fprintf(t, "parks\t%s\n", parked(s))
	if zones := p.zonesText(); zones != "" {
		fmt.Fprintf(t, "zones\t%s\n", zones)
	}
	title := ""
	for _, f := range found {
		if text := f.severity.String(); text != title {
			title = text
			fmt.Fprintf(t, "%s\t%s\n", title, f.text())
			continue
		}
		fmt.Fprintf(t, "\t%s\n", f.text())
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return p.showAnswers(w)
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

func loopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
