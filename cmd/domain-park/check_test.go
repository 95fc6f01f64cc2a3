package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckTellsWhatIsAnswered(t *testing.T) {
	if !haveIPv6Loopback() {
		t.Skip("the golden file is that of a machine with IPv6")
	}
	dir := t.TempDir()
	write(t, dir, "park.yaml", `
nameservers:
  - {name: ns1.park.example, addresses: [192.0.2.1, "2001:db8::1"]}
  - {name: ns2.park.example}
listen: {udp: [":53"], tcp: ["192.0.2.1:53", "[2001:db8::1]:53"]}
parking:
  dmarc: {rua: [r@park.example]}
  iodef: [security@park.example]
  only: [bücher.example, example.org]
`)
	write(t, dir, "own.yaml", "nameservers: [{name: ns1.park.example}]\nlisten: {tcp: []}\nparking: {profile: own.zone, ttl: 5m}\n")
	write(t, dir, "own.zone", "@ TXT \"nothing here\"\n@ NS {ns}\n@ SOA {mname} {rname} 1 2 3 4 5\n")
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"check-park.txt":  {"check", "--elsewhere", "--config", "park.yaml"},
		"check-own.txt":   {"check", "--elsewhere", "--config", "own.yaml"},
		"check-flags.txt": {"check", "-n", "ns1.park.example=192.0.2.1", "-n", "ns2.park.example:192.0.2.2", "--host", "192.0.2.1", "--port", "53", "--elsewhere"},
		"check-tcp.txt":   {"check", "-n", "ns1.park.example", "--tcp", "--elsewhere"},
	} {
		t.Chdir(dir)
		r := execute(t, args...)
		if r.status != 0 || r.stderr != "" {
			t.Errorf("%q: status %d, %s", args, r.status, r.stderr)
		}
		t.Chdir(here)
		golden(t, name, r.stdout)
	}
}

func TestSampleIsAGoodFile(t *testing.T) {
	sample := execute(t, "check", "--sample")
	file := write(t, t.TempDir(), "sample.yaml", sample.stdout)
	if r := execute(t, "check", "--elsewhere", "--config", file); r.status != 0 || !strings.HasPrefix(r.stdout, file+": ok\n") {
		t.Errorf("%+v", r)
	}
	golden(t, "../../../docs/domain-park.yaml", sample.stdout)
}

// TestGoodSettingsCanBeBuilt holds that the resolver takes whatever the
// settings allow.
func TestGoodSettingsCanBeBuilt(t *testing.T) {
	t.Chdir("../../testdata/config")
	files, err := filepath.Glob("good-*.yaml")
	if err != nil || len(files) < 8 {
		t.Fatalf("found %q, %v", files, err)
	}
	for _, file := range files {
		if _, err := (&source{Config: file}).load(); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}
