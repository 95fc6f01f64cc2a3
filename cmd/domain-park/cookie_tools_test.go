//go:build linux

package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"domainpark/listeners"

	"github.com/miekg/dns"
)

// cookieClients ask once, from an address and with a cookie; an empty one
// stands for a client's half of its own. Neither asks again by itself.
var cookieClients = []struct {
	tool   string
	status *regexp.Regexp
	cookie *regexp.Regexp
}{
	{"dig", regexp.MustCompile(`status: (\w+)`), regexp.MustCompile(`; COOKIE: ([0-9a-f]{48}) \(good\)`)},
	{"kdig", regexp.MustCompile(`status: (\w+)`), regexp.MustCompile(`;; COOKIE: ([0-9A-F]{48})\n`)},
}

// eachCookieClient runs f with each client.
func eachCookieClient(t *testing.T, f func(t *testing.T, ask func(server, from, cookie string) (status, fresh string))) {
	for _, c := range cookieClients {
		t.Run(c.tool, func(t *testing.T) {
			path := tool(t, c.tool)
			f(t, func(server, from, cookie string) (status, fresh string) {
				t.Helper()
				host, port, err := net.SplitHostPort(server)
				if err != nil {
					t.Fatal(err)
				}
				option := "+cookie"
				if cookie != "" {
					option += "=" + cookie
				}
				cmd := exec.Command(path, "@"+host, "-p", port, "-b", from, option, "+nobadcookie", "+ignore", "-t", "TXT", "example.com")
				out, err := cmd.CombinedOutput()
				gotStatus, gotCookie := c.status.FindSubmatch(out), c.cookie.FindSubmatch(out)
				if err != nil || gotStatus == nil || gotCookie == nil {
					t.Fatalf("%s: %v\n%s\nexpected a good cookie", cmd, err, out)
				}
				return string(gotStatus[1]), string(gotCookie[1])
			})
		})
	}
}

// cookieServer is a server on UDP that trusts nobody, with settings for cookies
// and a store's directory.
func cookieServer(t *testing.T, cookies, store string) (srv *server, addr string) {
	t.Helper()
	s := &scenario{settings: "nameservers: [{name: ns1.park.example}]\npolicy: {trust: [], cookies: {" + cookies + "}}\nstore: {directory: " + store + "}\n"}
	srv, addrs := s.serve(t, scenarioTransport{listen: func(cfg *listeners.Config) { cfg.UDP = []string{loopbackAny} }})
	return srv, addrs["udp"]
}

func TestClientsReuseTheirCookies(t *testing.T) {
	eachCookieClient(t, func(t *testing.T, ask func(server, from, cookie string) (status, fresh string)) {
		srv, addr := cookieServer(t, "", t.TempDir())
		status, cookie := ask(addr, "127.50.1.1", "")
		if status != "NOERROR" {
			t.Errorf("without a server's cookie: %s", status)
		}
		if status, again := ask(addr, "127.50.1.1", cookie); status != "NOERROR" || again != cookie {
			t.Errorf("with the cookie %s: %s, cookie %s", cookie, status, again)
		}
		if got := srv.cookiesCounted(); got["client"] != 1 || got["valid"] != 1 || got["invalid"] != 0 {
			t.Errorf("counted: %v", got)
		}
	})
}

// cookiesCounted is how many queries had a cookie, by what it was worth.
func (srv *server) cookiesCounted() map[string]uint64 {
	count := map[string]uint64{}
	for _, c := range srv.guard.Counters() {
		if c.Name == "cookies_total" {
			count[c.Labels[1]] += c.Value
		}
	}
	return count
}

// TestCookiesHoldForAllServersWithOneSecret asks one server for a cookie and
// another one, which demands cookies, with it.
func TestCookiesHoldForAllServersWithOneSecret(t *testing.T) {
	const require = "require: true"
	type pair struct{ first, second string } // addresses
	for _, c := range []struct {
		name   string
		serve  func(t *testing.T) pair
		status string // of the second server's answer
	}{
		{"one secret", func(t *testing.T) (p pair) {
			const secret = require + ", secret: 000102030405060708090a0b0c0d0e0f"
			_, p.first = cookieServer(t, secret, t.TempDir())
			_, p.second = cookieServer(t, secret, t.TempDir())
			return p
		}, "NOERROR"},
		{"one seed", func(t *testing.T) (p pair) {
			one, other := t.TempDir(), t.TempDir()
			_, p.first = cookieServer(t, require, one)
			seed, err := os.ReadFile(filepath.Join(one, "seed"))
			if err != nil {
				t.Fatal(err)
			}
			write(t, other, "seed", string(seed))
			_, p.second = cookieServer(t, require, other)
			return p
		}, "NOERROR"},
		{"two seeds", func(t *testing.T) (p pair) {
			_, p.first = cookieServer(t, require, t.TempDir())
			_, p.second = cookieServer(t, require, t.TempDir())
			return p
		}, "BADCOOKIE"},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			servers := c.serve(t)
			eachCookieClient(t, func(t *testing.T, ask func(server, from, cookie string) (status, fresh string)) {
				status, cookie := ask(servers.first, "127.50.1.1", "")
				if status != "BADCOOKIE" {
					t.Errorf("without a server's cookie: %s", status)
				}
				if status, _ := ask(servers.first, "127.50.1.1", cookie); status != "NOERROR" {
					t.Errorf("with its own cookie: %s", status)
				}
				if status, _ := ask(servers.second, "127.50.1.1", cookie); status != c.status {
					t.Errorf("with the other server's cookie: %s, want %s", status, c.status)
				}
				if status, _ := ask(servers.second, "127.50.1.2", cookie); status != "BADCOOKIE" {
					t.Errorf("with another client's cookie: %s", status)
				}
			})
		})
	}
}

// TestFloodWithAValidCookieIsNotLimited: whoever has it receives what is sent
// to his address. The same cookie in another client's name is worth nothing.
func TestFloodWithAValidCookieIsNotLimited(t *testing.T) {
	on := loopbackField()
	f := newFlood(t, on)
	m := new(dns.Msg)
	h := f.honest(on.host)
	if _, err := h.conn.Write(floodQuery(t, "example.com.", "0102030405060708")); err != nil {
		t.Fatal(err)
	}
	if err := m.Unpack((&udpClient{h.conn}).receive(t)); err != nil {
		t.Fatal(err)
	}
	cookie := optionOf(m, dns.EDNS0COOKIE).(*dns.EDNS0_COOKIE).Cookie
	f.run(floodTicks/4, func(i int) (netip.Addr, []byte) {
		return on.host, floodQuery(t, fmt.Sprintf("n%d.example.com.", i), cookie)
	})
	f.settle(1)
	if whole := f.whole.Load(); whole != f.sent || f.sent < 1000 {
		t.Errorf("%d answers to %d queries with a cookie", whole, f.sent)
	}
	before := f.sent
	f.run(floodTicks/4, func(i int) (netip.Addr, []byte) {
		return on.neighbour, floodQuery(t, fmt.Sprintf("n%d.example.com.", i), cookie)
	})
	f.settle(1)
	if lied, whole := f.sent-before, f.whole.Load()-before; whole > lied/2 {
		t.Errorf("%d answers to %d queries with another client's cookie", whole, lied)
	}
}
