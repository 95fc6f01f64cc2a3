package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// The README's recipes are tried as they stand there. What a test puts in
// their place is addresses, ports and paths, and its own CA for the system's.
var triedRecipes = []string{
	"dns.yaml", "dns.sh", "rights.sh", "rights.service",
	"doh.yaml", "doh.sh", "user.js",
	"dot.yaml", "unbound.conf", "kresd.conf", "resolved.conf",
}

const recipeMark = "<!-- recipe: "

func TestEveryRecipeIsTried(t *testing.T) {
	for name, tried := range map[string][]string{"README.md": triedRecipes, operatingGuide: triedInGuide} {
		var found []string
		for _, m := range regexp.MustCompile(recipeMark+`(\S+) -->`).FindAllStringSubmatch(page(t, name), -1) {
			found = append(found, m[1])
		}
		if !slices.Equal(found, tried) {
			t.Errorf("%s has the recipes\n%q, the tests try\n%q", name, found, tried)
		}
	}
}

// page is a text for people, by its path from the root of the module.
func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// recipe is the indented block below a mark in the README.
func recipe(t *testing.T, name string) string {
	t.Helper()
	return block(t, "README.md", recipeMark+name+" -->\n")
}

// block is the first indented block of a page behind mark.
func block(t *testing.T, name, mark string) string {
	t.Helper()
	_, text, found := strings.Cut(page(t, name), mark)
	if !found {
		t.Fatalf("%s has no %q", name, mark)
	}
	var out strings.Builder
	for line := range strings.Lines(text) {
		code, indented := strings.CutPrefix(line, "    ")
		switch {
		case indented:
			out.WriteString(code)
		case out.Len() > 0:
			return out.String()
		}
	}
	return out.String()
}

// command is a block of one command behind "$ ", and what it prints.
func command(t *testing.T, block string) (args []string, output string) {
	t.Helper()
	line, output, _ := strings.Cut(block, "\n")
	text, shell := strings.CutPrefix(line, "$ ")
	if !shell {
		t.Fatalf("no command: %s", line)
	}
	return strings.Fields(text), output
}

// startRecipe runs a settings file of the README here: on free ports of
// loopback, where second stands for 2001:db8::1, and without what it leaves at
// its default port. more is further replacements, as pairs.
func startRecipe(t *testing.T, name, second string, more ...string) *running {
	t.Helper()
	settings := recipe(t, name)
	for _, transport := range []string{"dot", "doh", "doq", "admin"} {
		if !strings.Contains(settings, transport+":") {
			settings = strings.Replace(settings, "listen:\n", "listen:\n  "+transport+": []\n", 1)
		}
	}
	ports := regexp.MustCompile(`"(192\.0\.2\.1|\[2001:db8::1\]):\d+"`)
	settings = ports.ReplaceAllStringFunc(settings, func(a string) string {
		if strings.HasPrefix(a, `"[`) {
			return `"` + net.JoinHostPort(second, "0") + `"`
		}
		return `"127.0.0.1:0"`
	})
	settings = strings.NewReplacer(append(more, "192.0.2.1", "127.0.0.1", "2001:db8::1", second)...).Replace(settings)
	return start(t, "--config", write(t, t.TempDir(), name, settings))
}

// expectChecked wants "check" to find nothing wrong with a recipe as it stands.
func expectChecked(t *testing.T, name string) {
	t.Helper()
	if r := execute(t, "check", "--elsewhere", "--config", write(t, t.TempDir(), name, recipe(t, name))); r.status != 0 {
		t.Errorf("check %s: status %d\n%s", name, r.status, r.stderr)
	}
}

func TestReadmeFirstScreen(t *testing.T) {
	run := strings.Fields(block(t, "README.md", "in\nthat domain's name."))
	flags := slices.Index(run, "./cmd/domain-park") + 1
	if flags == 0 {
		t.Fatalf("the first command is %q", run)
	}
	srv := start(t, append(run[flags:], "--port", "0")...)
	digPrints(t, srv, block(t, "README.md", "Every domain in the world is parked:"), "127.0.0.1")
}

func TestRecipePlainDNS(t *testing.T) {
	expectChecked(t, "dns.yaml")
	second := "::1"
	if !haveIPv6Loopback() {
		second = "127.0.0.2"
	}
	srv := startRecipe(t, "dns.yaml", second)
	for _, network := range []string{"udp", "tcp"} {
		if len(srv.addr[network]) != 2 {
			t.Errorf("%s on %q", network, srv.addr[network])
		}
		for _, addr := range srv.addr[network] {
			if got, want := ask(t, network, addr, "example.com.", dns.TypeMX), "example.com.\t3600\tIN\tMX\t0 ."; got != want {
				t.Errorf("%s %s: got %s, want %s", network, addr, got, want)
			}
		}
	}
	digPrints(t, srv, recipe(t, "dns.sh"), "192.0.2.1")
	stopsInOrder(t, srv)
}

// digPrints runs a dig command of the README and compares what it prints.
func digPrints(t *testing.T, srv *running, block, server string) {
	t.Helper()
	args, want := command(t, block)
	t.Run(args[0], func(t *testing.T) {
		dig := tool(t, args[0])
		at := slices.Index(args, "@"+server)
		if at < 0 {
			t.Fatalf("%q does not ask %s", args, server)
		}
		args[at] = "@127.0.0.1"
		cmd := exec.Command(dig, append(args[1:], "-p", srv.portOf("udp"))...)
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != want {
			t.Errorf("%s: %v\n%s\nthe README says\n%s", cmd, err, out, want)
		}
	})
}

// TestRecipeDoH has Pebble for Let's Encrypt. Both addresses are IPv4: Pebble
// would ask the second one first, on the first one's port.
func TestRecipeDoH(t *testing.T) {
	expectChecked(t, "doh.yaml")
	if runtime.GOOS != "linux" {
		t.Skip("127.0.0.2 is not everywhere an address of loopback")
	}
	p := newACMECA(t)
	srv := startRecipe(t, "doh.yaml", "127.0.0.2",
		"email: ops@park.example", "email: ops@park.example, directory: "+p.directory+", roots: "+p.rootsOfDirectory,
		"/var/lib/domain-park", t.TempDir()+"/store")
	p.open(srv)
	srv.awaitIssued()
	first, second := portOf(t, srv.addr["doh"][0]), portOf(t, srv.addr["doh"][1])
	t.Run("curl", func(t *testing.T) {
		args, _ := command(t, recipe(t, "doh.sh"))
		curl := tool(t, args[0])
		// The page is on another port than the server that is asked for its
		// address: what curl is told of the one does not help with the other.
		line := strings.NewReplacer(testHost+"/dns-query", testHost+":"+first+"/dns-query", testHost+"/", testHost+":"+second+"/").Replace(strings.Join(args[1:], "\n"))
		cmd := exec.Command(curl, append(strings.Split(line, "\n"), "--verbose", "--silent", "--show-error", "--max-time", "20",
			"--cacert", p.roots, "--resolve", testHost+":"+first+":127.0.0.1")...)
		out, err := cmd.CombinedOutput()
		for _, want := range []string{"POST /dns-query HTTP/2", "GET / HTTP/2", "v=spf1 -all", testHost} {
			if err != nil || !bytes.Contains(out, []byte(want)) {
				t.Errorf("%s: %v, expected %q in\n%s", cmd, err, want, out)
			}
		}
	})
	t.Run("Firefox", func(t *testing.T) { asksAsFirefox(t, srv, p) })
	stopsInOrder(t, srv)
}

func portOf(t *testing.T, addr string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// asksAsFirefox sends what Firefox does before it trusts a DoH server: it asks
// for the name servers of example.com (network.trr.confirmationNS), by POST
// over HTTP/2.
func asksAsFirefox(t *testing.T, srv *running, p *acmeCA) {
	t.Helper()
	preferences := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^user_pref\("([\w.]+)", "?([^"]*?)"?\);$`).FindAllStringSubmatch(recipe(t, "user.js"), -1) {
		preferences[m[1]] = m[2]
	}
	if len(preferences) != 2 || preferences["network.trr.mode"] != "3" { // 3: DoH alone
		t.Fatalf("preferences %q", preferences)
	}
	transport := &http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{RootCAs: p.pool()},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, srv.addr["doh"][0])
		},
	}
	defer transport.CloseIdleConnections()
	m := new(dns.Msg).SetQuestion("example.com.", dns.TypeNS)
	m.Id = 0
	wire, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, preferences["network.trr.uri"], bytes.NewReader(wire))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "application/dns-message")
	request.Header.Set("Content-Type", "application/dns-message")
	response, err := (&http.Client{Transport: transport, Timeout: answerWithin}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil {
		err = m.Unpack(answer)
	}
	if err != nil || response.ProtoMajor != 2 || response.StatusCode != http.StatusOK || len(m.Answer) != 2 {
		t.Errorf("%s %s: %v, %v", response.Proto, response.Status, err, m)
	}
}

func TestRecipeDoT(t *testing.T) {
	ca := newAuthority(t)
	pair := ca.issue(t.TempDir(), 2, testHost)
	const live = "/etc/letsencrypt/live/" + testHost
	srv := startRecipe(t, "dot.yaml", "127.0.0.2", live+"/fullchain.pem", pair.certificate, live+"/privkey.pem", pair.key)
	here := strings.NewReplacer("192.0.2.1@853", "127.0.0.1@"+srv.portOf("dot"), "/etc/ssl/certs/ca-certificates.crt", ca.file)
	for name, run := range map[string]func(t *testing.T, settings string) *daemon{"unbound": startUnbound, "kresd": startKresd} {
		t.Run(name, func(t *testing.T) {
			resolver := run(t, here.Replace(recipe(t, name+".conf")))
			for qtype, want := range map[uint16]string{dns.TypeTXT: "\"v=spf1 -all\"", dns.TypeMX: "0 ."} {
				m := resolver.ask("example.com", qtype)
				if len(m.Answer) != 1 || !strings.HasSuffix(m.Answer[0].String(), "\t"+want) {
					t.Errorf("%s: %s", dns.Type(qtype), m)
				}
			}
		})
	}
	stopsInOrder(t, srv)
}

// TestRecipeResolvedIsWellFormed holds resolved.conf(5). Running resolved takes
// a machine of its own: it wants the bus, port 53 and a network that is up.
func TestRecipeResolvedIsWellFormed(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(recipe(t, "resolved.conf")), "\n")
	if lines[0] != "[Resolve]" {
		t.Errorf("section %s", lines[0])
	}
	settings := map[string]string{}
	for _, line := range lines[1:] {
		key, value, _ := strings.Cut(line, "=")
		settings[key] = value
	}
	server, name, _ := strings.Cut(settings["DNS"], "#")
	if _, err := netip.ParseAddr(server); err != nil || name != testHost {
		t.Errorf("DNS=%s: %v", settings["DNS"], err)
	}
	domain, routing := strings.CutPrefix(settings["Domains"], "~")
	if _, ok := dns.IsDomainName(domain); !ok || !routing {
		t.Errorf("Domains=%s", settings["Domains"])
	}
	if settings["DNSOverTLS"] != "yes" || len(settings) != 3 {
		t.Errorf("settings %q", settings)
	}
}
