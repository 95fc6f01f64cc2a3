package main

import (
	"net"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"go.yaml.in/yaml/v4"
)

// The operator's guide has recipes like the README.
const operatingGuide = "docs/operating.md"

var triedInGuide = []string{
	"park.example.zone", "pair.yaml", "domains", "check.sh", "ask.sh", "audit.sh",
	"sysctl.conf", "memory.conf", "python.sh", "python.yaml", "Corefile",
}

func guideRecipe(t *testing.T, name string) string {
	t.Helper()
	return block(t, operatingGuide, recipeMark+name+" -->\n")
}

// guideFiles are the files of the guide's first host, changed by edit, in a
// directory that stands for /etc/domain-park. It returns the settings' file.
func guideFiles(t *testing.T, edit *strings.Replacer) string {
	t.Helper()
	dir := t.TempDir()
	zones := filepath.Join(dir, "zones")
	if err := os.Mkdir(zones, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, zones, "park.example.zone", edit.Replace(guideRecipe(t, "park.example.zone")))
	write(t, dir, "domains", guideRecipe(t, "domains"))
	return write(t, dir, "domain-park.yaml", edit.Replace(guideRecipe(t, "pair.yaml")))
}

// TestGuideIsChecked runs the guide's check on the guide's files, which gives
// neither an error nor a warning, with the addresses that a registry would have.
func TestGuideIsChecked(t *testing.T) {
	file := guideFiles(t, strings.NewReplacer())
	args, _ := command(t, guideRecipe(t, "check.sh"))
	args[len(args)-1] = file
	r := execute(t, append(args[1:], "--elsewhere")...)
	if r.status != 0 || r.stderr != "" {
		t.Errorf("status %d\n%s", r.status, r.stderr)
	}
}

// TestGuideServes runs the guide's first host, with Pebble for the authority: it
// gets its certificate, answers dig as the guide says, and passes audit.
func TestGuideServes(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("one address is listened on twice")
	}
	p := newACMECA(t)
	pairs := []string{
		"letsencrypt.org", caIdentity, "      AAAA 2001:db8::1\n", "", `, "2001:db8::1"`, "", "192.0.2.1", "127.0.0.1",
		"email: ops@park.example", "email: ops@park.example, directory: " + p.directory + ", roots: " + p.rootsOfDirectory,
		"/var/lib/domain-park", filepath.Join(t.TempDir(), "store"),
		"listen:\n", "listen:\n  admin: []\n",
	}
	port := freePort(t) // of UDP and TCP, as audit wants it
	for _, a := range []string{"0.0.0.0", "[::]"} {
		here := map[string]string{"0.0.0.0": "127.0.0.1", "[::]": "127.0.0.2"}[a]
		for _, standard := range []string{"853", "443"} {
			pairs = append(pairs, a+":"+standard, here+":0")
		}
		pairs = append(pairs, a+":53", here+":"+port)
	}
	srv := start(t, "--config", guideFiles(t, strings.NewReplacer(pairs...)))
	p.open(srv)
	srv.awaitIssued()
	expectVerified(t, srv, p)
	if got := ask(t, "udp", srv.addr["udp"][0], "ns2.park.example.", dns.TypeA); !strings.HasSuffix(got, "\t198.51.100.1") {
		t.Errorf("the name servers' own zone: %s", got)
	}
	digPrints(t, srv, guideRecipe(t, "ask.sh"), "192.0.2.1")
	for line := range strings.Lines(guideRecipe(t, "audit.sh")) {
		args, _ := command(t, line)
		for i, arg := range args {
			if arg == "192.0.2.1" {
				args[i] = srv.addr["udp"][0]
				if strings.Contains(line, " dot ") {
					args[i] = srv.addr["dot"][0]
				}
			}
		}
		r := execute(t, append(args[1:], "--tls-ca", p.roots, "--resolver", srv.addr["udp"][0])...) // which knows park.example, as the world would
		if r.status != 0 || !strings.HasPrefix(r.stdout, "example.com: pass (") {
			t.Errorf("%s: status %d\n%s%s", line, r.status, r.stdout, r.stderr)
		}
	}
	stopsInOrder(t, srv)
}

// TestGuideTunesWhatThereIs: the kernel has these variables, and the server
// takes the limit of memory.
func TestGuideTunesWhatThereIs(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the guide is about Linux")
	}
	for line := range strings.Lines(guideRecipe(t, "sysctl.conf")) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
		if _, err := os.Stat("/proc/sys/" + strings.ReplaceAll(key, ".", "/")); err != nil {
			t.Error(err)
		}
		if _, err := strconv.Atoi(value); err != nil {
			t.Error(err)
		}
	}
	m := regexp.MustCompile(`(?m)^\[Service\]\nEnvironment=(GOMEMLIMIT=(\d+)MiB)\nMemoryMax=2G$`).FindStringSubmatch(guideRecipe(t, "memory.conf"))
	if m == nil {
		t.Fatal(guideRecipe(t, "memory.conf"))
	}
	t.Setenv("GOMEMLIMIT", strings.TrimPrefix(m[1], "GOMEMLIMIT="))
	srv := start(t, "--config", write(t, t.TempDir(), "s.yaml", `
nameservers: [{name: ns1.park.example}]
listen: {udp: ["127.0.0.1:0"], tcp: [], dot: [], doh: [], doq: [], admin: ["127.0.0.1:0"]}
`))
	mib, err := strconv.Atoi(m[2])
	if err != nil {
		t.Fatal(err)
	}
	if got := srv.families()["go_gc_gomemlimit_bytes"].Metric[0].GetGauge().GetValue(); got != float64(mib<<20) {
		t.Errorf("the limit is %v bytes", got)
	}
}

// TestGuideMovesFromPython: the flags and the file come to the same settings.
func TestGuideMovesFromPython(t *testing.T) {
	args, _ := command(t, guideRecipe(t, "python.sh"))
	flags := printed(t, args[1:]...)
	file := printed(t, "--config", write(t, t.TempDir(), "python.yaml", guideRecipe(t, "python.yaml")))
	if !reflect.DeepEqual(flags, file) || len(flags) < 10 {
		t.Errorf("by flags\n%v\nby file\n%v", flags, file)
	}
}

// printed is what "check --print" shows, without the origins.
func printed(t *testing.T, args ...string) (settings map[string]any) {
	t.Helper()
	r := execute(t, append([]string{"check", "--print", "--elsewhere"}, args...)...)
	if r.status != 0 {
		t.Fatalf("%q: status %d\n%s", args, r.status, r.stderr)
	}
	if err := yaml.Load([]byte(r.stdout), &settings); err != nil {
		t.Fatal(err)
	}
	for _, n := range settings["nameservers"].([]any) { // no addresses are written in two ways
		n := n.(map[string]any)
		if a, ok := n["addresses"].([]any); ok && len(a) == 0 {
			delete(n, "addresses")
		}
	}
	return settings
}

// TestGuideMovesFromCoreDNS asks the server for what each template of the
// Corefile answers: it is the same record.
func TestGuideMovesFromCoreDNS(t *testing.T) {
	settings := strings.ReplaceAll(guideRecipe(t, "python.yaml"), "192.0.2.1:53", "127.0.0.1:0")
	srv := start(t, "--config", write(t, t.TempDir(), "python.yaml", settings))
	templates := regexp.MustCompile(`(?s)template IN (\w+) \. \{\n\s+(?:match "([^"]*)"\n\s+)?answer "\{\{ \.Name \}\} ((?:[^"\\]|\\.)*)"`).FindAllStringSubmatch(guideRecipe(t, "Corefile"), -1)
	names := map[string]string{"": "example.com.", `^_dmarc\.`: "_dmarc.example.com.", `\._domainkey\.`: "key._domainkey.example.com."}
	if len(templates) != 4 {
		t.Fatalf("%d templates", len(templates))
	}
	for _, m := range templates {
		name := names[m[2]]
		if name == "" || !regexp.MustCompile(m[2]).MatchString(name) {
			t.Errorf("no name for %q", m[2])
			continue
		}
		want, err := dns.NewRR(name + " " + strings.ReplaceAll(m[3], `\"`, `"`))
		if err != nil {
			t.Fatal(err)
		}
		if got := ask(t, "udp", srv.addr["udp"][0], name, dns.StringToType[m[1]]); got != want.String() {
			t.Errorf("%s %s: got %s, CoreDNS says %s", name, m[1], got, want)
		}
	}
}

// TestGuideNamesWhatThereIs: each metric and each file that the guide names.
func TestGuideNamesWhatThereIs(t *testing.T) {
	text := page(t, operatingGuide)
	metrics := page(t, "docs/metrics.md")
	names := regexp.MustCompile("`(?:domainpark_)?([a-z]+(?:_[a-z]+)*_(?:total|seconds|good|open|connected|info|records))[`{]").FindAllStringSubmatch(text, -1)
	if len(names) < 20 {
		t.Fatalf("only %d metrics found", len(names))
	}
	for _, m := range names {
		if !strings.Contains(metrics, "## domainpark_"+m[1]+"\n") && !strings.HasPrefix(m[1], "process_") {
			t.Errorf("there is no metric %s", m[1])
		}
	}
	links := regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(text, -1)
	for _, m := range links {
		if _, err := os.Stat(filepath.Join(root, "docs", m[1])); err != nil {
			t.Error(err)
		}
	}
	alerts := page(t, "deploy/prometheus/alerts.yaml")
	for _, name := range regexp.MustCompile(`DomainPark\w+`).FindAllString(text, -1) {
		if !strings.Contains(alerts, "alert: "+name+"\n") {
			t.Errorf("there is no alert %s", name)
		}
	}
	for _, address := range regexp.MustCompile(`\b\d+\.\d+\.\d+\.\d+\b`).FindAllString(text, -1) {
		if ip := net.ParseIP(address); ip == nil {
			t.Errorf("%s is no address", address)
		}
	}
}
