package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/miekg/dns"
)

// openDir is a directory that every user can reach.
func openDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become somebody else")
	}
}

const droppingSettings = `
nameservers: [{name: ns1.park.example}]
listen: {udp: ["127.0.0.1:0"], tcp: ["127.0.0.1:0"], dot: [], doh: [], doq: ["127.0.0.1:0"], admin: ["127.0.0.1:0"]}
user: nobody
store: {directory: %s}
telemetry: {queries: {file: %s}}
`

// A server that root has started is nobody's when it serves: on every thread,
// without a capability, with a store that is its own.
func TestRootBecomesTheUser(t *testing.T) {
	needRoot(t)
	dir := openDir(t)
	logs := filepath.Join(dir, "logs")
	if err := os.Mkdir(logs, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(logs, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	store := filepath.Join(dir, "state", "store")
	settings := write(t, dir, "settings.yaml", fmt.Sprintf(droppingSettings, store, filepath.Join(logs, "queries.log")))
	srv := start(t, "--config", settings)
	if !strings.Contains(srv.log.String(), `"these files were read as root and can't be read any more`) {
		t.Errorf("nothing is said of the settings file, which is root's:\n%s", srv.log.String())
	}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", srv.Process.Pid))
	if err != nil || len(tasks) == 0 {
		t.Fatalf("%v, %v", tasks, err)
	}
	for _, task := range tasks {
		status, err := os.ReadFile(task)
		if err != nil {
			continue // the thread has ended
		}
		for _, want := range []string{"Uid:\t65534\t65534\t65534\t65534\n", "Gid:\t65534\t65534\t65534\t65534\n", "CapPrm:\t0000000000000000\n", "CapEff:\t0000000000000000\n", "CapAmb:\t0000000000000000\n"} {
			if !strings.Contains(string(status), want) {
				t.Fatalf("%s: no %q in\n%s", task, want, status)
			}
		}
	}
	for _, file := range []string{store, filepath.Join(store, "seed"), filepath.Join(logs, "queries.log")} {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if owner := info.Sys().(*syscall.Stat_t).Uid; owner != nobody {
			t.Errorf("%s belongs to user %d", file, owner)
		}
	}
	ask(t, "udp", srv.addr["udp"][0], "example.com.", dns.TypeMX)
	stopsInOrder(t, srv)

	again := start(t, "--config", settings) // with the store that it left
	stopsInOrder(t, again)
}

func TestUserThatCantBe(t *testing.T) {
	needRoot(t)
	dir := openDir(t)
	roots := filepath.Join(dir, "roots")
	if err := os.Mkdir(roots, 0o700); err != nil {
		t.Fatal(err)
	}
	closed := filepath.Join(dir, "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(closed, "store"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(filepath.Join(closed, "store"), nobody, nobody); err != nil {
		t.Fatal(err)
	}
	const settings = "nameservers: [{name: ns1.park.example}]\nlisten: {udp: [\"127.0.0.1:0\"], tcp: [], dot: [], doh: [], doq: [], admin: []}\n"
	for want, more := range map[string]string{
		`key "user": found "no-such-user", expected a user of this machine`:             "user: no-such-user\n",
		`key "group": found "no-such-group", expected a group of this machine`:          "user: nobody\ngroup: no-such-group\n",
		`key "group": found a group without a user`:                                     "group: nogroup\n",
		"belongs to user 0, and the server becomes nobody, who could not write to it; ": "user: nobody\nstore: {directory: " + roots + "}\n",
		"nobody can't use it: permission denied":                                        "user: nobody\nstore: {directory: " + filepath.Join(closed, "store") + "}\n",
		"queries.log: permission denied":                                                "user: nobody\ntelemetry: {queries: {file: " + filepath.Join(roots, "queries.log") + "}}\n",
	} {
		file := write(t, dir, "settings.yaml", settings+more)
		for _, command := range []string{"serve", "check"} {
			r := execute(t, command, "--config", file)
			if r.status != 1 || !strings.Contains(r.stderr, want) {
				t.Errorf("%s: status %d, want %q:\n%s", command, r.status, want, r.stderr)
			}
		}
	}
}

func TestRootWithoutAUserIsWarned(t *testing.T) {
	needRoot(t)
	srv := start(t, "-n", "ns1.park.example", "--host", "127.0.0.1", "--port", "0", "--udp")
	if !strings.Contains(srv.log.String(), `level=WARN msg="the server runs as root`) {
		t.Errorf("no warning:\n%s", srv.log.String())
	}
	stopsInOrder(t, srv)
}
