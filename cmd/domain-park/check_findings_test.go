package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"domainpark/config"
)

// TestCheckRefusesWhatServeRefuses: what keeps the server from starting, here
// and now, keeps check from saying ok, and check says it by the place in the
// settings. %s is a directory of the test.
func TestCheckRefusesWhatServeRefuses(t *testing.T) {
	const none = "dot: [], doh: [], doq: [], admin: []"
	port := freePort(t)
	for name, c := range map[string]struct{ settings, where, says string }{
		"wildcard and address, UDP": {`listen: {udp: ["0.0.0.0:` + port + `", "127.0.0.1:` + port + `"], tcp: [], ` + none + `}`, `:2:15: key "listen.udp": 127.0.0.1:`, "overlaps 0.0.0.0:"},
		"address and wildcard, TCP": {`listen: {tcp: ["127.0.0.1:` + port + `", ":` + port + `"], udp: [], ` + none + `}`, `:2:15: key "listen.tcp": :`, "overlaps 127.0.0.1:"},
		"UDP and DoQ":               {`listen: {udp: ["127.0.0.1:` + port + `"], doq: ["0.0.0.0:` + port + `"], tcp: [], dot: [], doh: [], admin: []}`, `key "listen.doq": 0.0.0.0:`, "of listen.udp"},
		"DoH and admin":             {`listen: {doh: [":` + port + `"], admin: ["127.0.0.1:` + port + `"], udp: [], tcp: [], dot: [], doq: []}`, `key "listen.admin": 127.0.0.1:`, "of listen.doh"},
		"another machine's address": {`listen: {udp: ["192.0.2.200:0"], tcp: [], ` + none + `}`, `key "listen.udp": 192.0.2.200:0: `, "is not an address of this machine"},
		"store in a file":           {`store: {directory: "%s/settings.yaml/store"}`, `:2:20: key "store.directory": store `, "settings.yaml"},
		"store for everybody":       {`store: {directory: "%s/open"}`, `:2:20: key "store.directory": store `, "chmod 700"},
		"damaged seed":              {`store: {directory: "%s/damaged"}`, `:2:20: key "store.directory": store `, "restore it"},
		"query log nowhere":         {`telemetry: {queries: {file: "%s/absent/queries"}}`, `:2:29: key "telemetry.queries.file": `, "no such file or directory"},
		"query log is a directory":  {`telemetry: {queries: {file: "%s/open"}}`, `:2:29: key "telemetry.queries.file": `, "is a directory"},
		"no such user":              {`user: nobody-of-that-name`, `:2:7: key "user": `, "expected a user of this machine"},
		"suffixes that are HTML":    {`parking: {publicsuffixes: "%s/page.html"}`, `:2:27: key "parking.publicsuffixes": `, "without the comments"},
		"half of the suffixes":      {`parking: {publicsuffixes: "%s/half.dat"}`, `:2:27: key "parking.publicsuffixes": `, "does not end"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, d := range []string{"open", "damaged"} {
				if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			os.Chmod(filepath.Join(dir, "open"), 0o777)
			write(t, filepath.Join(dir, "damaged"), "seed", "beef")
			write(t, dir, "page.html", "moved\nhere\n")
			write(t, dir, "half.dat", "// ===BEGIN ICANN DOMAINS===\ncom\norg\n")
			settings := strings.ReplaceAll(c.settings, "%s", dir)
			if !strings.HasPrefix(settings, "listen") {
				settings += "\nlisten: {udp: [\"127.0.0.1:0\"], tcp: [], " + none + "}"
			}
			file := write(t, dir, "settings.yaml", "nameservers: [{name: ns1.park.example}, {name: ns2.park.example}]\n"+settings+"\n")
			if r := execute(t, "--config", file); r.status != 1 {
				t.Errorf("serve: status %d\n%s", r.status, r.stderr)
			}
			r := execute(t, "check", "--config", file)
			lines := strings.Split(strings.TrimSpace(r.stderr), "\n")
			if r.status != 1 || r.stdout != "" || !strings.HasPrefix(lines[0], file) || !strings.Contains(lines[0], c.where) || !strings.Contains(lines[0], c.says) {
				t.Errorf("check: status %d\n%s%s\nexpected %q with %q", r.status, r.stdout, r.stderr, c.where, c.says)
			}
		})
	}
}

// TestCheckLeavesNoTraces: a store and a query log that are yet to be made are
// not made by looking.
func TestCheckLeavesNoTraces(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, "settings.yaml", fmt.Sprintf(`
nameservers: [{name: ns1.park.example}, {name: ns2.park.example}]
listen: {udp: ["127.0.0.1:0"], tcp: ["127.0.0.1:0"], dot: [], doh: [], doq: [], admin: []}
store: {directory: %q}
telemetry: {queries: {file: %q}}
`, dir+"/a/b/store", dir+"/queries"))
	if r := execute(t, "check", "--config", file); r.status != 0 {
		t.Errorf("status %d\n%s", r.status, r.stderr)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
}

// checked is what --json prints.
type checked struct {
	File     string
	OK       bool
	Findings []struct {
		Severity, File, Key, Problem, Hint string
		Line, Column                       int
	}
	More int
}

func checkJSON(t *testing.T, wantStatus int, args ...string) (out checked) {
	t.Helper()
	r := execute(t, append([]string{"check", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(r.stdout), &out); err != nil || r.stderr != "" || r.status != wantStatus || out.OK != (wantStatus == 0) {
		t.Fatalf("%v, status %d, %s\n%s", err, r.status, r.stderr, r.stdout)
	}
	return out
}

// TestCheckAsJSON has each finding with its place, all of them at once: what
// the settings, the profile and the machine make impossible, and what may not
// be meant.
func TestCheckAsJSON(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "own.zone", "@ NONSENSE x\n")
	port := freePort(t)
	file := write(t, dir, "settings.yaml", `nameservers: [{name: ns1.park.example}]
listen: {udp: ["0.0.0.0:`+port+`", "127.0.0.1:`+port+`"], tcp: [], dot: [], doh: [], doq: [], admin: []}
parking: {profile: own.zone, ttl: soon}
store: {directory: settings.yaml}
nonsense: 1
`)
	got := checkJSON(t, 1, "--config", file)
	want := []string{
		`error settings.yaml:2:15 listen.udp`, `error settings.yaml:3:35 parking.ttl`, `error settings.yaml:4:20 store.directory`,
		`error settings.yaml:5:1 nonsense`, `error own.zone:1:3 `,
	}
	var found []string
	for _, f := range got.Findings {
		if f.Problem == "" {
			t.Errorf("%+v", f)
		}
		found = append(found, fmt.Sprintf("%s %s:%d:%d %s", f.Severity, filepath.Base(f.File), f.Line, f.Column, f.Key))
	}
	if strings.Join(found, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(found, "\n"), strings.Join(want, "\n"))
	}

	got = checkJSON(t, 0, "--elsewhere", "-n", "ns1.park.example", "--port", "0")
	if len(got.Findings) < 2 || got.Findings[0].Severity != "warning" || got.Findings[0].Key != "nameservers" || got.Findings[0].File != "-n" {
		t.Errorf("%+v", got)
	}
}

// TestManyProblemsAreCapped: who names the wrong file is not told each line of it.
func TestManyProblemsAreCapped(t *testing.T) {
	var text strings.Builder
	text.WriteString("nameservers: [{name: ns1.park.example}, {name: ns2.park.example}]\n")
	for i := range 1_000 {
		fmt.Fprintf(&text, "nonsense%d: 1\n", i)
	}
	file := write(t, t.TempDir(), "settings.yaml", text.String())
	const more = 1_000 - config.MaxProblemsShown
	r := execute(t, "check", "--elsewhere", "--config", file)
	lines := strings.Split(strings.TrimSpace(r.stderr), "\n")
	if want := fmt.Sprintf("and %d more problems", more); r.status != 1 || len(lines) != config.MaxProblemsShown+1 || lines[len(lines)-1] != want {
		t.Errorf("status %d, %d lines, the last is %q", r.status, len(lines), lines[len(lines)-1])
	}
	got := checkJSON(t, 1, "--elsewhere", "--config", file)
	wrong := 0
	for _, f := range got.Findings {
		if f.Severity == "error" {
			wrong++
		}
	}
	if got.More != more || wrong != config.MaxProblemsShown {
		t.Errorf("%d more, %d errors listed", got.More, wrong)
	}
}

func TestAdminForEverybodyIsAWarning(t *testing.T) {
	file := write(t, t.TempDir(), "settings.yaml", `nameservers: [{name: ns1.park.example}, {name: ns2.park.example}]
listen: {udp: ["127.0.0.1:0"], tcp: ["127.0.0.1:0"], dot: [], doh: [], doq: [], admin: ["0.0.0.0:0"]}
`)
	got := checkJSON(t, 0, "--config", file)
	if f := got.Findings[0]; f.Severity != "warning" || f.Key != "listen.admin" || f.Line != 2 || f.Hint == "" {
		t.Errorf("%+v", f)
	}
}

// TestCheckPrintsEverySetting, and nothing else, or what is wrong.
func TestCheckPrintsEverySetting(t *testing.T) {
	file := write(t, t.TempDir(), "settings.yaml", "nameservers: [{name: ns1.park.example}]\nworkers: 3\n")
	r := execute(t, "check", "--print", "--elsewhere", "--config", file, "--rua", "r@park.example")
	for _, want := range []string{"\nworkers: 3  # " + file + ":2\n", "\n    rua: [\"r@park.example\"]  # --rua\n", "\n  ttl: 1h  # default\n"} {
		if r.status != 0 || r.stderr != "" || !strings.Contains(r.stdout, want) {
			t.Errorf("status %d, no %q in\n%s%s", r.status, want, r.stdout, r.stderr)
		}
	}
	if r := execute(t, "check", "--print", "--port", "0"); r.status != 1 || r.stdout != "" {
		t.Errorf("%+v", r)
	}
}
