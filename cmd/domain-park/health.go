package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"domainpark/config"
)

// healthCommand asks a running server, for service managers of containers and
// for scripts: an image from scratch has no curl.
type healthCommand struct {
	Config  string        `short:"c" placeholder:"FILE" help:"Settings file of the server: its listen.admin is asked."`
	Admin   string        `placeholder:"ADDRESS:PORT" help:"Address to ask, instead of the first of listen.admin."`
	Alive   bool          `help:"Ask only whether it is alive: one that drains is, but is not ready."`
	Timeout time.Duration `default:"3s" help:"How long it may take to answer."`
}

// Run prints what the server says of itself; its error is why the server is
// not well.
func (c *healthCommand) Run() error {
	address, err := c.address()
	if err != nil {
		return err
	}
	path := "/ready"
	if c.Alive {
		path = "/health"
	}
	client := &http.Client{Timeout: c.Timeout, Transport: &http.Transport{Proxy: nil}}
	answer, err := client.Get("http://" + address + path)
	if err != nil {
		return fmt.Errorf("no answer from %s: %w; hint: is it the listen.admin of a running server?", address, errors.Unwrap(err))
	}
	defer answer.Body.Close()
	const much = 4 << 10 // for a line
	text, err := io.ReadAll(io.LimitReader(answer.Body, much))
	said := strings.TrimSpace(string(text))
	switch {
	case err != nil:
		return fmt.Errorf("half an answer from %s: %w", address, err)
	case answer.StatusCode != http.StatusOK:
		return fmt.Errorf("%s is not well: %s", address, said)
	}
	fmt.Fprintln(os.Stdout, said)
	return nil
}

// address is where to ask: a server that listens on every address of the
// machine is asked on loopback.
func (c *healthCommand) address() (string, error) {
	address := c.Admin
	if address == "" {
		listening, err := c.listening()
		if err != nil {
			return "", err
		}
		if len(listening) == 0 {
			return "", fmt.Errorf("%s: listen.admin is empty, there is nobody to ask; hint: set it, or give --admin", c.Config)
		}
		address = listening[0]
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("--admin: found %q; expected ADDRESS:PORT", address)
	}
	switch addr, err := netip.ParseAddr(host); {
	case host == "", err == nil && addr.IsUnspecified() && addr.Is4():
		host = "127.0.0.1"
	case err == nil && addr.IsUnspecified():
		host = "::1"
	}
	return net.JoinHostPort(host, port), nil
}

// listening is listen.admin of the settings file, or its default.
func (c *healthCommand) listening() ([]string, error) {
	flags := config.Flags{}
	if c.Config == "" {
		flags.NameServers = []string{anyNameServer[0].Name} // what else the settings say does not matter
	}
	s, err := config.Load(c.Config, flags)
	if err != nil {
		return nil, err
	}
	return s.Listen.Admin, nil
}
