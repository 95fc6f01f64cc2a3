package config

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

func listen() kind[[]string] {
	return list(scalar("address:port", parseListen), 0, 1000, identity)
}

// parseListen returns the address in its shortest form, so that two ways to
// write one address are seen to be the same.
func parseListen(text string) (string, error) {
	host, port, err := splitHostPort(text)
	if err != nil {
		return "", err
	}
	if err := checkPort(port); err != nil {
		return "", err
	}
	if host == "" {
		return ":" + port, nil
	}
	addr, err := parseHostAddress(host, port)
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(addr.String(), port), nil
}

func splitHostPort(text string) (host, port string, err error) {
	bare, bracketed := strings.CutPrefix(text, "[")
	bare, closed := strings.CutSuffix(bare, "]")
	if addr, err := netip.ParseAddr(bare); err == nil && bracketed == closed {
		if addr.Is4() || bracketed {
			return "", "", mistake("give a port: " + net.JoinHostPort(addr.String(), "53"))
		}
		return "", "", mistake("write an IPv6 address in brackets with the port behind them, like [2001:db8::1]:53")
	}
	if _, err := strconv.Atoi(text); err == nil {
		return "", "", mistake(`":` + text + `" is that port on every address`)
	}
	host, port, err = net.SplitHostPort(text)
	if err != nil {
		return "", "", mistake("it is written like 192.0.2.1:53 or [2001:db8::1]:53")
	}
	return host, port, nil
}

func checkPort(port string) error {
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 || strconv.Itoa(n) != port {
		return mistake("a port is a number from 0 to 65535 (0: any that is free)")
	}
	return nil
}

// parseHostAddress takes the address part of one that is listened on; port is
// for the hint.
func parseHostAddress(host, port string) (netip.Addr, error) {
	switch host {
	case "*":
		return netip.Addr{}, mistake(`leave the * out: ":` + port + `" is every address`)
	case "localhost":
		return netip.Addr{}, mistake("write 127.0.0.1:" + port + " and [::1]:" + port)
	}
	addr, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return addr, mistake(quote(host) + " is no address of a machine: domain-park ips shows which there are")
	case addr.Is4In6():
		return addr, mistake("write it as " + addr.Unmap().String())
	case addr.IsMulticast() || addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return addr, mistake("no machine has this address")
	}
	return addr, nil
}

// nameServer is an element of "nameservers".
func nameServer() kind[NameServer] {
	const expected = "a name server as {name: ns1.example.net, addresses: [192.0.2.1]}"
	addresses := list(scalar("an address", parsePublished), 0, 20, netip.Addr.String)
	return kind[NameServer]{expected: expected, object: true, read: func(v value) (n NameServer, ok bool) {
		ok = readObject(v, expected, []member{
			{"name", true, func(v value) (ok bool) { n.Name, ok = host().read(v); return ok }},
			{"addresses", false, func(v value) (ok bool) { n.Addresses, ok = addresses.read(v); return ok }},
		})
		return n, ok
	}}
}

// parsePublished takes an address that may stand in an A or AAAA record.
func parsePublished(text string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(text)
	switch {
	case err != nil && strings.ContainsAny(text, "/"):
		return addr, mistake("one address, not a prefix")
	case err != nil:
		return addr, mistake("")
	case addr.Zone() != "":
		return addr, mistake("a zone (" + quote(addr.Zone()) + ") means nothing to others")
	case addr.Is4In6():
		return addr, mistake("write it as " + addr.Unmap().String())
	case addr.IsUnspecified() || addr.IsMulticast():
		return addr, mistake("no name server has this address")
	}
	return addr, nil
}

func prefixes() kind[[]netip.Prefix] {
	return list(scalar("an address or prefix like 192.0.2.0/24", parsePrefix), 0, maxInline, netip.Prefix.String)
}

func parsePrefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return p, mistake("")
	case p.Addr().Is4In6():
		return p, mistake("write it as an IPv4 prefix")
	case p != p.Masked():
		return p, mistake("it has bits behind its length: do you mean " + p.Masked().String() + "?")
	}
	return p, nil
}

func collector() kind[string] {
	return orEmpty(scalar("unix:/path or tcp:address:port", func(text string) (string, error) {
		if path, ok := strings.CutPrefix(text, "unix:"); ok && strings.HasPrefix(path, "/") {
			return text, nil
		}
		rest, ok := strings.CutPrefix(text, "tcp:")
		if !ok {
			return "", mistake("")
		}
		_, port, err := splitHostPort(rest)
		if err != nil {
			return "", err
		}
		return text, checkPort(port)
	}))
}

func secret() kind[string] {
	const bytes = 16 // the key of SipHash-2-4: https://www.rfc-editor.org/rfc/rfc9018#section-4.4
	const expected = `32 hex digits, or ""`
	return orEmpty(kind[string]{expected: expected, read: func(v value) (string, bool) {
		text, ok := v.scalar(expected)
		if !ok {
			return "", false
		}
		if b, err := hex.DecodeString(text); err != nil || len(b) != bytes {
			// A message goes to logs, where a secret with a slip of the keyboard has no place.
			v.problem(fmt.Sprintf("found %d characters, expected %s", len(text), expected), "openssl rand -hex 16 makes one")
			return "", false
		}
		return text, true
	}})
}
