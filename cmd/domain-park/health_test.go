package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHealthOfARunningServer(t *testing.T) {
	srv := start(t, "-n", "ns1.park.example", "--config", write(t, t.TempDir(), "s.yaml",
		"nameservers: [{name: ns1.park.example}]\nlisten: {udp: ['127.0.0.1:0'], tcp: [], dot: [], doh: [], doq: [], admin: ['127.0.0.1:0']}\n"))
	_, port, _ := strings.Cut(srv.addr["admin"][0], ":")
	file := write(t, t.TempDir(), "s.yaml", "nameservers: [{name: ns1.park.example}]\nlisten: {admin: [':"+port+"']}\n")
	for _, args := range [][]string{
		{"--admin", srv.addr["admin"][0]},
		{"--admin", srv.addr["admin"][0], "--alive"},
		{"--config", file},
	} {
		if r := execute(t, append([]string{"health"}, args...)...); r.status != 0 || r.stderr != "" {
			t.Errorf("%q: %+v", args, r)
		}
	}
}

func TestHealthOfAServerThatIsNotWell(t *testing.T) {
	draining := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ready" {
			http.Error(w, "stopping: connections are drained", http.StatusServiceUnavailable)
		}
	}))
	address := strings.TrimPrefix(draining.URL, "http://")
	for _, c := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"--admin", address}, 1, address + " is not well: stopping: connections are drained\n"},
		{[]string{"--admin", address, "--alive"}, 0, ""},
		{[]string{"--admin", "nonsense"}, 1, `--admin: found "nonsense"; expected ADDRESS:PORT` + "\n"},
		{[]string{"--config", write(t, t.TempDir(), "off.yaml", "nameservers: [{name: ns1.park.example}]\nlisten: {admin: []}\n")}, 1, "listen.admin is empty, there is nobody to ask"},
	} {
		r := execute(t, append([]string{"health"}, c.args...)...)
		if r.status != c.status || !strings.Contains(r.stderr, c.says) {
			t.Errorf("%q: %+v, want status %d and %q", c.args, r, c.status, c.says)
		}
	}
	draining.Close()
	if r := execute(t, "health", "--admin", address); r.status != 1 || !strings.Contains(r.stderr, "no answer from "+address+": ") {
		t.Errorf("nobody there: %+v", r)
	}
}
