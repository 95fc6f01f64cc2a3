//go:build linux

package main

import (
	"bytes"
	"encoding/xml"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"domainpark/bench/load"
	"domainpark/config"
)

var update = flag.Bool("update", false, "write the golden file")

// TestSettingsOfEveryServer fills the templates in; ours must be settings that
// the program takes.
func TestSettingsOfEveryServer(t *testing.T) {
	g, err := prepare(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range servers() {
		dir := t.TempDir()
		set := settings{ground: g, Dir: dir, Port: "1", DoT: "2", DoH: "3", Spare: "4", Encrypted: true}
		if err := g.configure(s, set); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
		for _, f := range s.files {
			text, err := os.ReadFile(filepath.Join(dir, f))
			if err != nil || bytes.Contains(text, []byte("<no value>")) {
				t.Errorf("%s: %v\n%s", f, err, text)
			}
			if s.name == ours {
				if _, err := config.Load(filepath.Join(dir, f), config.Flags{}); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

func TestDebiansKnotSpeaksNothingEncrypted(t *testing.T) {
	for version, want := range map[string]bool{"knotd, Knot DNS 3.2.6": false, "knotd, Knot DNS 3.5.6": true} {
		s := &server{name: "knot", version: version, transports: "udp tcp dot doq"}
		if !s.speaks("udp") || s.speaks("new-doq") != want || s.speaks("doh") {
			t.Errorf("%s: %t %t %t", version, s.speaks("udp"), s.speaks("new-doq"), s.speaks("doh"))
		}
	}
}

// some are results of two servers, one of them in two rounds of three, with a
// median that is not the mean.
func some() results {
	r := results{}
	for _, us := range []int{3, 1, 9} {
		r.add("udp", ours, &measurement{load.Result{Answers: 1000, Elapsed: time.Second, Latency: load.Latency{Half: 50 * time.Microsecond}}, time.Duration(us) * time.Microsecond, 12345, 30e6})
	}
	r.add("udp", "nsd", &measurement{load.Result{Answers: 10, Lost: 2, Wrong: 1, Elapsed: time.Second, Problem: "timeout"}, 12 * time.Microsecond, 0, 5e6})
	r.add("new-doq", "coredns", &measurement{load.Result{Answers: 10, Elapsed: time.Second}, 300 * time.Microsecond, 0, 5e6})
	r.add(startLoad, ours, &measurement{Result: load.Result{Answers: 1, Latency: load.Latency{Half: 45678 * time.Microsecond}}, cpu: 30 * time.Millisecond, rss: 29.9e6})
	return r
}

func TestReport(t *testing.T) {
	dir := t.TempDir()
	o := &options{rounds: 3, during: 3 * time.Second}
	m := machine{"2026-11-23", "a CPU, 2 CPUs", "6.1", "Debian", "go1.26", "0123456789ab", "The server had one CPU, the generator another one"}
	if err := write(dir, m, o, servers()[:4], some()); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "benchmarks.md"))
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/benchmarks.md"
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(golden); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s differs (%v); go test ./bench/compare -update writes it:\n%s", golden, err, got)
	}
	for _, l := range []string{"udp", "new-doq"} {
		if !bytes.Contains(got, []byte("benchmarks/"+l+".svg")) {
			t.Errorf("no plot of %s", l)
		}
		text, err := os.ReadFile(filepath.Join(dir, "benchmarks", l+".svg"))
		if err != nil {
			t.Fatal(err)
		}
		d := xml.NewDecoder(bytes.NewReader(text))
		for err == nil {
			_, err = d.Token()
		}
		if err != io.EOF {
			t.Errorf("%s: %v\n%s", l, err, text)
		}
	}
}

func TestInstructionsAreReadFromPerf(t *testing.T) {
	for text, want := range map[string]float64{
		"123456,,instructions,1000,100.00,,\n":             123456,
		"5,,instructions:u,1,100.00,,\n7,,instructions,,,": 12,
		"<not supported>,,instructions,0,100.00,,\n":       0,
		"9,,cycles,1000,100.00,,\n":                        0,
	} {
		if got := counted([]byte(text)); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestFiguresHaveThreeDigits(t *testing.T) {
	for f, want := range map[float64]string{0.4889: "0.489", 3.237: "3.24", 30.19: "30.2", 340.4: "340", 12345: "12345", 0: "0"} {
		if got := significant(f); got != want {
			t.Errorf("%v: %s, want %s", f, got, want)
		}
	}
}
