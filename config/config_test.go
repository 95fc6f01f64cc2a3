package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const twoServers = "nameservers: [{name: ns1.park.example}, {name: ns2.park.example}]\n"

func TestEveryOptionIsComplete(t *testing.T) {
	seen := map[string]bool{"": true}
	for i := range options {
		o := &options[i]
		switch {
		case seen[o.key]:
			t.Errorf("%s is there twice", o.key)
		case !seen[o.parent()]:
			t.Errorf("%s stands before its section", o.key)
		case o.help == "" || !strings.HasSuffix(o.help, "."):
			t.Errorf("%s: help %q", o.key, o.help)
		case o.section() && (o.def != "" || o.required):
			t.Errorf("section %s has what only a value has", o.key)
		case !o.section() && o.required == (o.def != ""):
			t.Errorf("%s: a setting is required or has a default", o.key)
		}
		seen[o.key] = true
	}
}

// TestSample loads the sample as it is and with every comment sign in front of
// a setting taken away: both are the defaults.
func TestSample(t *testing.T) {
	golden(t, "../docs/domain-park.yaml", Sample())
	var active strings.Builder
	for line := range strings.Lines(Sample()) {
		indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
		if rest := line[len(indent):]; strings.HasPrefix(rest, "#") && !strings.HasPrefix(rest, "# ") {
			line = indent + rest[1:]
		}
		active.WriteString(line)
	}
	const want = "NameServers: [{ns1.park.example [192.0.2.1 2001:db8::1]} {ns2.park.example []}]\n"
	for _, text := range []string{Sample(), active.String()} {
		s, err := Load(write(t, "sample.yaml", text), Flags{})
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if got := describe(t, s); got != want {
			t.Errorf("the sample is not the defaults: %s", got)
		}
	}
	if given := strings.Count(active.String(), ": "); given < 20 {
		t.Errorf("only %d settings in\n%s", given, active.String())
	}
}

// TestEverySettingOfTheDesign reads every setting there is.
func TestEverySettingOfTheDesign(t *testing.T) {
	t.Chdir("../testdata/config/files")
	for _, name := range []string{"all-good", "all-bad"} {
		s, err := Load(name+".yaml", Flags{})
		switch {
		case name == "all-bad" && err != nil:
			golden(t, name+".want", err.Error()+"\n")
		case name == "all-good" && err == nil:
			golden(t, name+".want", describe(t, s))
		default:
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSettingsFileThatCantBeRead(t *testing.T) {
	dir := t.TempDir()
	large := write(t, "large.yaml", twoServers+strings.Repeat("# much\n", maxSettingsBytes/7+1))
	for _, c := range []struct{ file, want string }{
		{filepath.Join(dir, "absent.yaml"), "absent.yaml: no such file or directory; expected a settings file"},
		{dir, dir + " is a directory; expected"},
		{large, "large.yaml is larger than 4 MiB; expected"},
		{"/dev/zero", "/dev/zero is larger than 4 MiB; expected"},
	} {
		s, err := Load(c.file, Flags{}, func(*Settings, bool) []Problem {
			return []Problem{{Reason: "the default port is taken"}}
		})
		if err == nil || s != nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("Load(%s) = %v, %v; want %s", c.file, s, err, c.want)
		}
	}
}

func TestChecksSeeIncompleteSettingsAndAreSortedIn(t *testing.T) {
	file := write(t, "s.yaml", twoServers+"workers: x\nparking:\n  ttl: 2h\n  refuse: x\n")
	s, err := Load(file, Flags{}, func(s *Settings, good bool) []Problem {
		if good || len(s.NameServers) != 2 {
			t.Errorf("check was called with good = %t, %+v", good, s)
		}
		return []Problem{s.Problem("parking.ttl", "found what I don't like")}
	})
	var ps Problems
	if s != nil || !errors.As(err, &ps) || len(ps) != 3 {
		t.Fatalf("%v, %v", s, err)
	}
	want := fmt.Sprintf("%s:4:8: key %q: found what I don't like", file, "parking.ttl")
	if ps[1].Error() != want {
		t.Errorf("got %s, want %s", ps[1], want)
	}
}

func TestGivenTellsWhatTheOperatorWrote(t *testing.T) {
	s, err := Load(write(t, "s.yaml", twoServers+"listen: {tcp: []}\n"), Flags{RUA: []string{"r@park.example"}})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]bool{"nameservers": true, "listen.tcp": true, "listen.udp": false, "parking.dmarc.rua": true, "workers": false} {
		if s.Given(key) != want {
			t.Errorf("Given(%s) = %t", key, !want)
		}
	}
}

// FuzzLoad looks for settings files that make Load panic or take for ever.
func FuzzLoad(f *testing.F) {
	files, _ := filepath.Glob("../testdata/config/*.yaml")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.ContainsAny(text, "/@") {
			return // it might name a file of this machine
		}
		l := &loader{file: "f.yaml", settings: &Settings{given: map[string]Position{}, written: map[string]*yaml.Node{}}}
		if top := l.parse(text); top != nil {
			l.section(value{top, "", Position{File: l.file, Line: 1, Column: 1}, l})
		}
		for _, p := range l.problems {
			if p.Reason == "" || strings.ContainsAny(p.Error(), "\n\r\x1b") {
				t.Errorf("%q: %q", text, p.Error())
			}
		}
	})
}
