package main

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"

	"github.com/alecthomas/kong"
)

type ipsCommand struct{}

func (ipsCommand) Run() error { return printIPs(os.Stdout) }

// ipsFlag is the command under its older name.
type ipsFlag bool

// BeforeReset runs before other flags are looked at, so that none is required.
func (ipsFlag) BeforeReset(app *kong.Kong) error {
	if err := printIPs(app.Stdout); err != nil {
		return err
	}
	app.Exit(0)
	return nil
}

// printIPs writes what "listen" and --host may be on this machine, with the
// interface that has it. Link-local addresses have their zone behind a %.
func printIPs(w io.Writer) error {
	interfaces, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("the addresses of this machine can't be listed: %w", err)
	}
	for _, i := range interfaces {
		addrs, err := i.Addrs()
		if err != nil {
			return fmt.Errorf("the addresses of %s can't be listed: %w", i.Name, err)
		}
		for _, a := range addrs {
			prefix, ok := a.(*net.IPNet)
			if !ok {
				continue
			}
			addr, _ := netip.AddrFromSlice(prefix.IP)
			addr = addr.Unmap()
			if addr.IsLinkLocalUnicast() && addr.Is6() {
				addr = addr.WithZone(i.Name)
			}
			fmt.Fprintf(w, "%s (%s)\n", addr, i.Name)
		}
	}
	fmt.Fprintln(w, "0.0.0.0 (every IPv4 address above)")
	fmt.Fprintln(w, ":: (every IPv6 address above)")
	return nil
}
