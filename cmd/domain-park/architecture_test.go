package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// root is the module's directory, seen from this package.
const root = "../.."

// mayImport is DESIGN §1: which of our packages each of them may import.
// Tests are free to import what they like.
var mayImport = map[string][]string{
	"audit":              {"query"},
	"bench/compare":      {"bench/load"},
	"bench/instructions": {"bench/load"},
	"bench/load":         {},
	"bench/overload":     {},
	"cmd/domain-park":    {"audit", "config", "certs", "store", "telemetry", "listeners", "resolver", "policy", "query"},
	"certs":              {"store"},
	"config":             {},
	"listeners":          {"query"},
	"policy":             {"query"},
	"query":              {},
	"resolver":           {"policy", "query"},
	"store":              {},
	"store/storetest":    {"store"},
	"telemetry":          {"query"},
}

// keptOut has imports that a file must not have, with the reason.
var keptOut = []struct{ files, path, reason string }{
	{"resolver/{answer,domains,edns,parse,pattern,records,resolver,zone_additional,zone_answer,zone_dnssec,zone_find,zone_message,zone_nsec,zone_nsec3}.go", "github.com/miekg/dns", "it is for compiling and for tests; the path of a query does not use it"},
	{"resolver/*.go", "net", "the resolver opens no socket"},
	{"resolver/*.go", "os", "the resolver reads no file"},
	{"listeners/*.go", "github.com/miekg/dns", "listeners know framing, not DNS"},
	{"policy/*.go", "net", "limits know addresses, not sockets"},
}

// sources parses the Go files of every package, tests left out.
func sources(t *testing.T) (fset *token.FileSet, packages map[string]map[string]*ast.File) {
	t.Helper()
	fset, packages = token.NewFileSet(), map[string]map[string]*ast.File{}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(rel))
		if packages[dir] == nil {
			packages[dir] = map[string]*ast.File{}
		}
		packages[dir][filepath.ToSlash(rel)] = f
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) < 5 {
		t.Fatalf("only %d packages found below %s", len(packages), root)
	}
	return fset, packages
}

func TestImportsRunOneWay(t *testing.T) {
	_, packages := sources(t)
	for dir, files := range packages {
		allowed, known := mayImport[dir]
		if !known {
			t.Errorf("package %s is not in the picture of DESIGN §1: put it there first, then into mayImport", dir)
		}
		for name, f := range files {
			for _, path := range importsOf(t, f) {
				if own, ok := strings.CutPrefix(path, "domainpark/"); ok && !slices.Contains(allowed, own) {
					t.Errorf("%s imports %s, but %s may import only %v", name, path, dir, allowed)
				}
			}
		}
	}
}

func TestImportsThatAreKeptOut(t *testing.T) {
	_, packages := sources(t)
	for _, k := range keptOut {
		matched := 0
		for _, files := range packages {
			for name, f := range files {
				if !matches(t, k.files, name) {
					continue
				}
				matched++
				if slices.Contains(importsOf(t, f), k.path) {
					t.Errorf("%s imports %s: %s", name, k.path, k.reason)
				}
			}
		}
		if matched == 0 {
			t.Errorf("no file is called %s any more", k.files)
		}
	}
}

// matches is filepath.Match with one {a,b} in the pattern.
func matches(t *testing.T, pattern, name string) bool {
	t.Helper()
	before, rest, braces := strings.Cut(pattern, "{")
	if !braces {
		ok, err := filepath.Match(pattern, name)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	names, after, _ := strings.Cut(rest, "}")
	return slices.ContainsFunc(strings.Split(names, ","), func(n string) bool { return name == before+n+after })
}

func importsOf(t *testing.T, f *ast.File) (paths []string) {
	t.Helper()
	for _, i := range f.Imports {
		path, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

func TestEveryPackageHasADoc(t *testing.T) {
	_, packages := sources(t)
	for dir, files := range packages {
		docs := 0
		for _, f := range files {
			if f.Doc != nil {
				docs++
			}
		}
		if docs != 1 {
			t.Errorf("package %s has %d package comments, want one", dir, docs)
		}
	}
}

func TestNoPackageIsADrawer(t *testing.T) {
	_, packages := sources(t)
	for dir, files := range packages {
		for _, bad := range []string{"util", "utils", "common", "helper", "helpers", "misc", "internal"} {
			if slices.Contains(strings.Split(dir, "/"), bad) {
				t.Errorf("package %s: a name says what is in it", dir)
			}
		}
		for name, f := range files {
			ast.Inspect(f, func(n ast.Node) bool {
				if fn, ok := n.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					t.Errorf("%s registers something in init; run.go wires", name)
				}
				return true
			})
		}
	}
}
