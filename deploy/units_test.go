// Package deploy holds tests of what is shipped beside the program: units,
// packages, the Ansible role. It has no code of its own.
package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mostExposed is what systemd-analyze may say at most, of 10. Below 2 it calls
// a service OK; the tenths that are left are what a server of the internet
// needs: sockets of the internet and the host's network.
const mostExposed = 1.5

func TestServiceIsHardened(t *testing.T) {
	needTool(t, "systemd-analyze")
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--threshold="+strconv.Itoa(mostExposed*10), "systemd/domain-park.service").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	level := regexp.MustCompile(`Overall exposure level for domain-park\.service: (\d+\.\d+)`).FindSubmatch(out)
	if level == nil {
		t.Fatalf("no level in\n%s", out)
	}
	if got, err := strconv.ParseFloat(string(level[1]), 64); err != nil || got > mostExposed {
		t.Errorf("exposure is %s, %v; at most %v", level[1], err, mostExposed)
	}
}

// TestUnitsAreUnderstood: a misspelt key of a unit is skipped with a warning,
// which nobody reads.
func TestUnitsAreUnderstood(t *testing.T) {
	needTool(t, "systemd-analyze")
	units, err := filepath.Glob("systemd/*.s*")
	if err != nil || len(units) < 8 {
		t.Fatalf("found %q, %v", units, err)
	}
	dir := t.TempDir()
	for _, unit := range units {
		text := readFile(t, unit)
		// The manual and the program are not installed here.
		text = regexp.MustCompile(`(?m)^Documentation=.*`).ReplaceAllString(text, "")
		text = regexp.MustCompile(`(?m)^ExecStart=\S+`).ReplaceAllString(text, "ExecStart=/bin/true")
		// Older systemd is to keep the line before this one, and says so.
		text = strings.Replace(text, "\nType=notify-reload\n", "\n", 1)
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(unit)), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, unit := range units {
		cmd := exec.Command("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", "./"+filepath.Base(unit))
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":")
		out, err := cmd.CombinedOutput()
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, "domain-park") {
				t.Errorf("%s: %s", unit, line)
			}
		}
		if err != nil {
			t.Errorf("%s: %v\n%s", unit, err, out)
		}
	}
}

// TestSocketUnitsNameTheirTransport: the server takes a socket by its name.
func TestSocketUnitsNameTheirTransport(t *testing.T) {
	units := map[string]string{
		"udp": "ListenDatagram", "tcp": "ListenStream", "dot": "ListenStream", "doh": "ListenStream",
		"doh3": "ListenDatagram", "doq": "ListenDatagram", "http": "ListenStream",
	}
	for name, kind := range units {
		text := readFile(t, "systemd/domain-park-"+name+".socket")
		for _, want := range []string{"FileDescriptorName=" + name, "Service=domain-park.service", kind + "=0.0.0.0:", kind + "=[::]:", "TriggerLimitIntervalSec=0"} {
			if !strings.Contains(text, "\n"+want) {
				t.Errorf("%s: no %s", name, want)
			}
		}
	}
	files, err := filepath.Glob("systemd/*.socket")
	if err != nil || len(files) != len(units) {
		t.Errorf("socket units are %q, %v", slices.Sorted(slices.Values(files)), err)
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// needTool skips the test when name is not installed, or fails it where the
// tools are required.
func needTool(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err == nil {
		return
	}
	if os.Getenv("REQUIRE_TOOLS") != "" {
		t.Fatalf("%s is not installed, and REQUIRE_TOOLS is set", name)
	}
	t.Skipf("%s is not installed", name)
}
