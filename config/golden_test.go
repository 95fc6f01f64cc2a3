package config

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what the tests find as what they want")

// TestSettingsFiles loads every file of testdata/config and compares what is
// said about it, to the letter. A good one is shown as what differs from the
// defaults.
func TestSettingsFiles(t *testing.T) {
	t.Chdir("../testdata/config")
	files, err := filepath.Glob("*.yaml")
	if err != nil || len(files) < 50 {
		t.Fatalf("found %d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(file, ".yaml"), func(t *testing.T) {
			s, err := Load(file, Flags{})
			if bad := strings.HasPrefix(file, "bad-"); bad != (err != nil) {
				t.Errorf("err = %v", err)
			}
			if err != nil && s != nil {
				t.Error("there are settings beside the error")
			}
			got := ""
			if err != nil {
				got = err.Error() + "\n"
			} else {
				got = describe(t, s)
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".want", got)
		})
	}
}

// golden compares got with what the file holds, or writes it there.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; -update writes it", err)
	}
	if got != string(want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// describe lists the fields of s that are not at their default.
func describe(t *testing.T, s *Settings) string {
	t.Helper()
	defaults, err := Load("", Flags{NameServers: []string{"ns.invalid.example"}})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	var walk func(name string, a, b reflect.Value)
	walk = func(name string, got, def reflect.Value) {
		if text, ok := got.Interface().(File); ok && text.Path != "" {
			fmt.Fprintf(&b, "%s: %s, %d bytes\n", name, text.Path, len(text.Text))
			return
		}
		if got.Kind() == reflect.Struct {
			for i := range got.NumField() {
				if f := got.Type().Field(i); f.IsExported() {
					walk(strings.TrimPrefix(name+"."+f.Name, "."), got.Field(i), def.Field(i))
				}
			}
			return
		}
		if !reflect.DeepEqual(got.Interface(), def.Interface()) {
			fmt.Fprintf(&b, "%s: %v\n", name, got.Interface())
		}
	}
	walk("", reflect.ValueOf(*s), reflect.ValueOf(*defaults))
	return b.String()
}
