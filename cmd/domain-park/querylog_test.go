package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/miekg/dns"
)

func TestQueriesAreLogged(t *testing.T) {
	dir := t.TempDir()
	r := start(t, "--config", write(t, dir, "s.yaml", `
nameservers: [{name: ns1.park.example}]
listen: {udp: ["127.0.0.1:0"], tcp: ["127.0.0.1:0"], dot: [], doh: [], doq: [], admin: []}
telemetry: {queries: {file: queries.log}}
`))
	ask(t, "udp", r.addr["udp"][0], "Example.com.", dns.TypeMX)
	ask(t, "tcp", r.addr["tcp"][0], "example.org.", dns.TypeTXT)
	r.signal(syscall.SIGTERM)
	if status := r.end(); status != 0 {
		t.Errorf("status %d", status)
	}
	text, err := os.ReadFile(filepath.Join(dir, "queries.log"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(string(text)) {
		var l struct{ Client, Transport, Name, Type, Verdict string }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Errorf("%v: %s", err, line)
		}
		got = append(got, strings.Join([]string{l.Client, l.Transport, l.Name, l.Type, l.Verdict}, " "))
	}
	want := "127.0.0.1 udp example.com. MX answered, 127.0.0.1 tcp example.org. TXT answered"
	if strings.Join(got, ", ") != want {
		t.Errorf("got %q, want %s", got, want)
	}
}

func TestQueryLogInNoDirectory(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, "s.yaml", `
nameservers: [{name: ns1.park.example}]
listen: {udp: ["127.0.0.1:0"], tcp: [], dot: [], doh: [], doq: [], admin: []}
telemetry: {queries: {file: absent/queries.log}}
`)
	r := execute(t, "--config", file)
	want := file + `:4:29: key "telemetry.queries.file": ` + filepath.Join(dir, "absent/queries.log") + ": no such file or directory\n"
	if r.status != 1 || r.stderr != want {
		t.Errorf("status %d\n%s\nwant\n%s", r.status, r.stderr, want)
	}
}
