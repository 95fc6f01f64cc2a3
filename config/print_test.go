package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestPrintedSettingsAreTheSame: what is printed is a settings file that comes
// to the same, secrets aside.
func TestPrintedSettingsAreTheSame(t *testing.T) {
	files, err := filepath.Glob("../testdata/config/good-*.yaml")
	if err != nil || len(files) < 8 {
		t.Fatalf("found %q, %v", files, err)
	}
	for _, file := range files {
		want, err := Load(file, Flags{RUA: []string{"flag@park.example"}, Host: "127.0.0.1"})
		if err != nil {
			t.Fatal(err)
		}
		again := filepath.Join(filepath.Dir(file), "printed-"+filepath.Base(file)) // paths are relative to it
		if err := os.WriteFile(again, []byte(want.Print()), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Load(again, Flags{})
		os.Remove(again)
		if err != nil {
			t.Errorf("%s: %v\n%s", file, err, want.Print())
			continue
		}
		for _, s := range []*Settings{got, want} {
			s.given, s.written, s.files, s.Policy.Cookies.Secret = nil, nil, nil, ""
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got\n%+v\nwant\n%+v", file, got, want)
		}
	}
}

func TestPrintTellsOrigins(t *testing.T) {
	file := filepath.Join(t.TempDir(), "s.yaml")
	text := `nameservers:
  - &one {name: ns1.park.example, addresses: ["2001:db8::1"]}
  - name: ns2.park.example
parking:
  dmarc:
    rua:
    - "r@park.example"
  ttl: 2h
identity: {version: "a #b: c\"d"}
policy: {cookies: {secret: 000102030405060708090a0b0c0d0e0f}}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Load(file, Flags{RUF: []string{"f@park.example"}})
	if err != nil {
		t.Fatal(err)
	}
	got := strings.ReplaceAll(s.Print(), file, "s.yaml")
	for _, want := range []string{
		"\nnameservers: [{name: ns1.park.example, addresses: [\"2001:db8::1\"]}, {name: ns2.park.example}]  # s.yaml:2\n",
		"\n    rua: [\"r@park.example\"]  # s.yaml:7\n",
		"\n    ruf: [\"f@park.example\"]  # --ruf\n",
		"\n  ttl: 2h  # s.yaml:8\n",
		"\n  version: \"a #b: c\\\"d\"  # s.yaml:9\n",
		"\n    secret: \"\"  # s.yaml:10, not shown\n",
		"\nworkers: 0  # default\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "0001020304") {
		t.Error("the secret is printed")
	}
}
