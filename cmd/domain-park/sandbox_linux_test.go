package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

func needLandlock(t *testing.T) {
	t.Helper()
	if abi, err := ll.LandlockGetABIVersion(); err != nil || abi < 1 {
		t.Skip("this kernel has no Landlock")
	}
}

// asConfined makes the test binary try files from within the sandbox of the
// settings file that it names, one a line of the variable behind it.
const (
	asConfined = "DOMAIN_PARK_AS_CONFINED"
	toTry      = "DOMAIN_PARK_TRY"
)

// init is before TestMain, which other systems have, too.
func init() {
	if settings := os.Getenv(asConfined); settings != "" {
		if err := tryConfined(settings); err != nil {
			fail(err)
		}
		os.Exit(0)
	}
}

// tryConfined prints "read" or "write" and the path for everything that it
// could open, on a thread from before the sandbox and on a new one.
func tryConfined(settings string) error {
	hold, confined := make(chan bool), make(chan bool)
	var before sync.WaitGroup
	before.Go(func() {
		runtime.LockOSThread()
		hold <- true
		<-confined
		tryAll("an old thread")
	})
	<-hold
	srv, err := (&source{Config: settings}).load()
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := srv.open(log); err != nil {
		return err
	}
	srv.confine(log)
	close(confined)
	before.Wait()
	var after sync.WaitGroup
	after.Go(func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with it
		tryAll("another thread")
	})
	after.Wait()
	return nil
}

func tryAll(where string) {
	for _, path := range strings.Split(os.Getenv(toTry), "\n") {
		if f, err := os.Open(path); err == nil {
			fmt.Println(where, "reads", path)
			f.Close()
		} else if !errors.Is(err, fs.ErrPermission) {
			fmt.Println(where, "finds", path, err)
		}
		made := filepath.Join(path, "made")
		if f, err := os.Create(made); err == nil {
			fmt.Println(where, "writes to", path)
			f.Close()
			os.Remove(made)
		}
	}
}

func TestSandboxAllowsNoOtherFiles(t *testing.T) {
	needLandlock(t)
	dir, elsewhere := t.TempDir(), t.TempDir()
	for _, name := range []string{"zones", "store", "certificates", "lists", "moved"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	newAuthority(t).issue(in("certificates"), 2, testHost)
	pair, _ := filepath.Glob(in("certificates/*"))
	secret := write(t, elsewhere, "secret", "")
	// A link into another directory, as certbot has them.
	target := write(t, in("moved"), "list.txt", "example.com\n")
	if err := os.Symlink(target, in("lists/list.txt")); err != nil {
		t.Fatal(err)
	}
	// Zones of releases, one of which a link leads to; it may be swapped for another.
	releases := t.TempDir()
	for _, release := range []string{"one/zones", "two/zones"} {
		if err := os.MkdirAll(filepath.Join(releases, release), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	next := write(t, filepath.Join(releases, "two/zones"), "next.zone", "")
	if err := os.Symlink(filepath.Join(releases, "one"), in("current")); err != nil {
		t.Fatal(err)
	}
	etc := t.TempDir()
	settings := write(t, etc, "settings.yaml", fmt.Sprintf(`
nameservers: [{name: ns1.park.example}]
zones: %s
store: {directory: %s}
parking: {only: ["@%s"]}
telemetry: {queries: {file: %s}}
`, in("current/zones"), in("store"), in("lists/list.txt"), filepath.Join(elsewhere, "logs", "queries.log")))
	if err := os.Mkdir(filepath.Join(elsewhere, "logs"), 0o700); err != nil {
		t.Fatal(err)
	}
	allowed := map[string]string{ // path to what may be done
		settings: "r", etc: "r", in("current/zones"): "r", next: "r", in("store"): "rw", filepath.Join(in("store"), "seed"): "r",
		target: "r", filepath.Join(elsewhere, "logs"): "rw", "/proc/self/stat": "r", "/etc/resolv.conf": "r",
	}
	denied := append([]string{"/etc/shadow", "/etc/passwd", "/", "/root", "/proc/1/environ", "/usr/bin/env", secret, elsewhere, in("zones"), "/dev/null"}, pair...)
	try := slices.Clone(denied)
	for path := range allowed {
		try = append(try, path)
	}
	cmd := program(t)
	cmd.Env = append(cmd.Env, asConfined+"="+settings, toTry+"="+strings.Join(try, "\n"))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	for _, where := range []string{"an old thread", "another thread"} {
		for path, may := range allowed {
			if !strings.Contains(string(out), where+" reads "+path+"\n") {
				t.Errorf("%s can't read %s", where, path)
			}
			if got, want := strings.Contains(string(out), where+" writes to "+path+"\n"), may == "rw"; got != want {
				t.Errorf("%s writes to %s: %t", where, path, got)
			}
		}
		for _, path := range denied {
			if strings.Contains(string(out), where+" reads "+path+"\n") || strings.Contains(string(out), where+" writes to "+path+"\n") {
				t.Errorf("%s can open %s", where, path)
			}
		}
	}
	if t.Failed() {
		t.Logf("%s\n%s", out, stderr.String())
	}
}

// TestQueryLogDirectoryMadeAnewIsTold: to the sandbox it is another directory, and
// what is lost must not be lost without a word.
func TestQueryLogDirectoryMadeAnewIsTold(t *testing.T) {
	needLandlock(t)
	logs := filepath.Join(t.TempDir(), "logs")
	if err := os.Mkdir(logs, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(logs, "queries.log")
	srv := startReloadable(t, "telemetry: {queries: {file: "+file+"}}")
	if err := os.RemoveAll(logs); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(logs, 0o700); err != nil {
		t.Fatal(err)
	}
	srv.await(file + ": permission denied; hint: if its directory was removed and made anew, restart the server")
	srv.dmarc(t) // queries are answered
	stopsInOrder(t, srv.running)
}

// A reload that needs a file from elsewhere fails and says why; files beside
// those of the settings can be replaced.
func TestReloadOutsideTheSandboxSaysSo(t *testing.T) {
	needLandlock(t)
	srv := startReloadable(t, "")
	list := write(t, t.TempDir(), "list.txt", "example.com\n")
	srv.hangup(t, fmt.Sprintf("parking: {only: [\"@%s\"]}", list))
	srv.await("or restart for new ones")
	srv.write(t, "list.txt", "example.com\n")
	srv.hangup(t, `parking: {only: ["@list.txt"]}`)
	srv.await("msg=reloaded")
	stopsInOrder(t, srv.running)

	free := startReloadable(t, "sandbox: off")
	free.hangup(t, fmt.Sprintf("sandbox: off\nparking: {only: [\"@%s\"]}", list))
	free.await("msg=reloaded")
	stopsInOrder(t, free.running)
}
