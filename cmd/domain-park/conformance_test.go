package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestConformanceTableNamesTestsThatExist reads docs/conformance.md: every row
// of it names a test, every test that it names is there, and every scenario is
// named.
func TestConformanceTableNamesTestsThatExist(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs/conformance.md"))
	if err != nil {
		t.Fatal(err)
	}
	have := testsInTree(t)
	named := map[string]bool{}
	test := regexp.MustCompile("`((?:Test|Fuzz)[A-Z][A-Za-z0-9/-]*|[a-z0-9-]+\\.txt)`")
	section := regexp.MustCompile(`^\| (\d{4}) \| ((\d+|[A-Z])(\.\d+)*(, )?)+ \|`)
	rows := 0
	for i, line := range strings.Split(string(text), "\n") {
		found := test.FindAllStringSubmatch(line, -1)
		for _, m := range found {
			named[m[1]] = true
			if !have[m[1]] {
				t.Errorf("docs/conformance.md:%d: there is no %s", i+1, m[1])
			}
		}
		if !strings.HasPrefix(line, "| ") || strings.Contains(line, "shown by") {
			continue
		}
		rows++
		if cells := strings.Split(line, " | "); len(found) == 0 || len(test.FindAllString(cells[len(cells)-1], -1)) != len(found) {
			t.Errorf("docs/conformance.md:%d: the last cell of the row names no test", i+1)
		}
		if number := regexp.MustCompile(`^\| \d`); number.MatchString(line) && !section.MatchString(line) {
			t.Errorf("docs/conformance.md:%d: expected an RFC and sections in front", i+1)
		}
	}
	if rows < 50 {
		t.Errorf("only %d rows were found", rows)
	}
	for name := range have {
		if strings.HasSuffix(name, ".txt") && !named[name] {
			t.Errorf("docs/conformance.md does not mention the scenario %s", name)
		}
	}
}

// testsInTree lists the tests, the scenarios and the seeds of fuzz targets.
func testsInTree(t *testing.T) map[string]bool {
	t.Helper()
	have := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		dir, file := filepath.Split(filepath.ToSlash(path))
		switch {
		case strings.HasSuffix(dir, "testdata/scenarios/"):
			have[file] = true
		case strings.Contains(dir, "/testdata/fuzz/"):
			have[filepath.Base(dir)+"/"+file] = true
		case strings.HasSuffix(file, "_test.go"):
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, m := range function.FindAllStringSubmatch(string(text), -1) {
				have[m[1]] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return have
}
