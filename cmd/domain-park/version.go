package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/alecthomas/kong"
)

type versionCommand struct{}

func (versionCommand) Run() error {
	fmt.Fprintln(os.Stdout, "domain-park", version())
	return nil
}

// versionFlag is the command under its older name.
type versionFlag bool

// BeforeReset runs before other flags are looked at, so that none is required.
func (versionFlag) BeforeReset(app *kong.Kong) error {
	fmt.Fprintln(app.Stdout, "domain-park", version())
	app.Exit(0)
	return nil
}

// release is the version of a package, set by its build with -ldflags -X. It
// stands in for what Go would record of the working tree, which is not the same
// for two builds of one commit.
var release string

// version is the module's version, the commit it was built from, the Go
// release and the platform, as the build recorded them.
func version() string {
	if release != "" {
		return release + " " + platform()
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown " + platform()
	}
	return describe(info)
}

func platform() string {
	return fmt.Sprintf("(%s, %s/%s)", runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func describe(info *debug.BuildInfo) string {
	out := moduleVersion(info)
	if r := revision(info); r != "" {
		out += " " + r
	}
	return out + " " + platform()
}

func moduleVersion(info *debug.BuildInfo) string {
	if info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}

// revision is the commit; empty when the build recorded none.
func revision(info *debug.BuildInfo) string {
	setting := map[string]string{}
	for _, s := range info.Settings {
		setting[s.Key] = s.Value
	}
	out := setting["vcs.revision"]
	out = out[:min(12, len(out))]
	if out != "" && setting["vcs.modified"] == "true" {
		out += " with changes"
	}
	return out
}
