package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"domainpark/listeners"
	"domainpark/query"
)

// serviceManager is what sd_notify(3) speaks with.
type serviceManager struct {
	t    *testing.T
	conn *net.UnixConn
}

// startNotifying runs a server that reports to m, with more variables.
func startNotifying(t *testing.T, settings string, variables ...string) (m *serviceManager, srv *running) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	cmd := program(t, "--config", write(t, t.TempDir(), "settings.yaml", settings))
	cmd.Env = append(append(cmd.Env, "NOTIFY_SOCKET="+path), variables...)
	srv = launchCommand(t, cmd)
	return &serviceManager{t, conn}, srv
}

// next is the next message.
func (m *serviceManager) next() string {
	m.t.Helper()
	buf := make([]byte, 4096)
	m.conn.SetReadDeadline(time.Now().Add(answerWithin))
	n, err := m.conn.Read(buf)
	if err != nil {
		m.t.Fatal(err)
	}
	return string(buf[:n])
}

func (m *serviceManager) expect(parts ...string) {
	m.t.Helper()
	got := m.next()
	for _, part := range parts {
		if !strings.Contains("\n"+got+"\n", "\n"+part) {
			m.t.Fatalf("told %q, want a line %q", got, part)
		}
	}
}

const notifying = `
nameservers: [{name: ns1.park.example}]
listen: {udp: ["127.0.0.1:0"], tcp: ["127.0.0.1:0"], dot: [], doh: [], doq: [], admin: []}
`

func TestServiceManagerIsTold(t *testing.T) {
	m, srv := startNotifying(t, notifying)
	m.expect("READY=1", "STATUS=answers on ")
	srv.signal(syscall.SIGHUP)
	m.expect("RELOADING=1", "MONOTONIC_USEC=", "STATUS=reads its settings anew")
	m.expect("READY=1", "STATUS=answers on ")
	srv.signal(syscall.SIGTERM)
	m.expect("STOPPING=1", "STATUS=stops")
	if status := srv.end(); status != 0 {
		t.Errorf("status %d", status)
	}
}

// The watchdog asks over what the settings have, and takes silence that they ask
// for as a sign of life.
func TestWatchdogIsPetted(t *testing.T) {
	for name, settings := range map[string]string{
		"UDP":      notifying,
		"TCP":      strings.Replace(notifying, `udp: ["127.0.0.1:0"]`, `udp: []`, 1),
		"IPv4 any": strings.Replace(notifying, `udp: ["127.0.0.1:0"]`, `udp: ["0.0.0.0:0"]`, 1),
		"DoT":      strings.Replace(notifying, `udp: ["127.0.0.1:0"], tcp: ["127.0.0.1:0"], dot: []`, `udp: [], tcp: [], dot: ["127.0.0.1:0"]`, 1),
		"denied":   notifying + "policy: {deny: [127.0.0.0/8], trust: []}\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, srv := startNotifying(t, settings, "WATCHDOG_USEC=2000000")
			m.expect("READY=1")
			for range 3 {
				m.expect("WATCHDOG=1")
			}
			srv.signal(syscall.SIGTERM)
			if status := srv.end(); status != 0 {
				t.Errorf("status %d", status)
			}
		})
	}
}

// A server whose sockets are bound and not served does not answer itself.
func TestWatchdogIsNotPettedByASilentServer(t *testing.T) {
	const within = 50 * time.Millisecond // for an answer that never comes
	for _, cfg := range []listeners.Config{{UDP: []string{loopbackAny}}, {TCP: []string{loopbackAny}}} {
		s := &source{Config: write(t, t.TempDir(), "settings.yaml", notifying)}
		srv, err := s.load()
		if err != nil {
			t.Fatal(err)
		}
		cfg.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
		if srv.set, err = listeners.Bind(cfg, srv.resolver); err != nil {
			t.Fatal(err)
		}
		probe := srv.newProbe("ns1.park.example")
		if err := probe.answered(within); err == nil {
			t.Error("the watchdog believes that the server lives")
		}
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- srv.set.Serve(ctx) }()
		if err := probe.answered(answerWithin); err != nil {
			t.Errorf("%s: %v", probe.transport, err)
		}
		if n := probe.ended(); n == 0 || probe.transport != query.UDP && cfg.UDP != nil {
			t.Errorf("%d queries over %s", n, probe.transport)
		}
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
}
