package audit

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestManualShowsTheTables holds that the tables in the manual are those that
// the tests got.
func TestManualShowsTheTables(t *testing.T) {
	const manual = "../docs/audit.md"
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	block := regexp.MustCompile(`(?m)^<!-- table: (\S+) -->\n(\n(    .*\n)+)?`)
	want := block.ReplaceAllStringFunc(string(text), func(old string) string {
		shown++
		name := block.FindStringSubmatch(old)[1]
		table, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return "<!-- table: " + name + " -->\n\n    " + strings.ReplaceAll(strings.TrimSuffix(string(table), "\n"), "\n", "\n    ") + "\n"
	})
	if shown != 2 {
		t.Errorf("%d tables in %s", shown, manual)
	}
	if want == string(text) {
		return
	}
	if !*update {
		t.Fatalf("%s is out of date; -update writes it", manual)
	}
	if err := os.WriteFile(manual, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}
