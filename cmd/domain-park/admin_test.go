package main

import (
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestReadyUntilTheServerDrains(t *testing.T) {
	srv := serveObserved(t)
	for _, c := range []struct {
		path, want string
	}{
		{"/health", "alive\n"},
		{"/ready", "ready\n"},
		{"/version", "domain-park " + version() + "\n"},
	} {
		if status, body := srv.get(t, c.path); status != http.StatusOK || body != c.want {
			t.Errorf("%s: %d %q, want %q", c.path, status, body, c.want)
		}
	}
	srv.drain()
	if status, body := srv.get(t, "/ready"); status != http.StatusServiceUnavailable || body != errDraining.Error()+"\n" {
		t.Errorf("draining: %d %q", status, body)
	}
	if status, _ := srv.get(t, "/health"); status != http.StatusOK {
		t.Errorf("draining: not alive: %d", status)
	}
}

func TestProfilesAreServedWhenAskedFor(t *testing.T) {
	for setting, want := range map[string]int{"false": http.StatusNotFound, "true": http.StatusOK} {
		r := start(t, "--config", write(t, t.TempDir(), "s.yaml", `
nameservers: [{name: ns1.park.example}]
listen: {udp: ["127.0.0.1:0"], tcp: [], dot: [], doh: [], doq: [], admin: ["127.0.0.1:0"]}
telemetry: {profiling: `+setting+`}
`))
		response, err := http.Get("http://" + r.addr["admin"][0] + "/debug/pprof/goroutine")
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("profiling %s: %s", setting, response.Status)
		}
	}
}

// An address that is taken stops the start, as any other does, and the sockets
// of the listeners are given up.
func TestAdminAddressInUse(t *testing.T) {
	held, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	r := execute(t, "--config", write(t, t.TempDir(), "s.yaml", `
nameservers: [{name: ns1.park.example}]
listen: {udp: ["127.0.0.1:0"], tcp: [], dot: [], doh: [], doq: [], admin: ["`+held.Addr().String()+`"]}
`))
	want := "listen admin " + held.Addr().String() + ": address already in use"
	if r.status != 1 || !strings.HasPrefix(r.stderr, want) || strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("status %d\n%s", r.status, r.stderr)
	}
}

func TestCheckWarnsOfAnAdminAddressForAll(t *testing.T) {
	file := write(t, t.TempDir(), "s.yaml", `
nameservers: [{name: ns1.park.example}]
listen: {admin: ["127.0.0.1:9980", ":9981"]}
telemetry: {profiling: true}
`)
	r := execute(t, "check", "--elsewhere", "--config", file)
	if want := "listen.admin: :9981 is not loopback: anyone who can reach it reads the metrics, and profiles"; r.status != 0 || !strings.Contains(r.stdout, want) {
		t.Errorf("status %d, no %q in\n%s", r.status, want, r.stdout)
	}
}
