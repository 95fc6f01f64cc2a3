package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestStopWhileLoadingIsInOrder: a service manager that stops a server which is
// still reading its files must not take that for a crash.
func TestStopWhileLoadingIsInOrder(t *testing.T) {
	for _, s := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		pipe := filepath.Join(t.TempDir(), "settings.yaml")
		if err := syscall.Mkfifo(pipe, 0o600); err != nil {
			t.Fatal(err)
		}
		// Reader and writer wait for one another, unless both are one: with the
		// pipe open the program waits for what is written to it.
		held, err := os.OpenFile(pipe, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer held.Close()
		srv := launch(t, "--config", pipe)
		// More than a pipe holds (64 KiB): it is written when the program has read some of it.
		if _, err := held.WriteString("nameservers: [{name: ns1.park.example}]\n" + strings.Repeat("# read\n", 20000)); err != nil {
			t.Fatal(err)
		}
		srv.signal(s)
		if status := srv.end(); status != 0 {
			t.Errorf("%v: exit status %d, want 0:\n%s", s, status, srv.log.String())
		}
	}
}

// TestServerWarnsOfAdministrationInTheOpen as "check" does: not everybody runs that.
func TestServerWarnsOfAdministrationInTheOpen(t *testing.T) {
	for admin, want := range map[string]bool{"0.0.0.0:0": true, "127.0.0.1:0": false} {
		settings := write(t, t.TempDir(), "settings.yaml", "nameservers: [{name: ns1.park.example}]\n"+
			`listen: {udp: ["127.0.0.1:0"], tcp: [], dot: [], doh: [], doq: [], admin: ["`+admin+`"]}`)
		srv := start(t, "--config", settings)
		if got := strings.Contains(srv.log.String(), "level=WARN msg=\"listen.admin: "+admin+" is not loopback"); got != want {
			t.Errorf("%s: warned %t, want %t:\n%s", admin, got, want, srv.log.String())
		}
		stopsInOrder(t, srv)
	}
}
