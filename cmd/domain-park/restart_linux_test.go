package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// restartLoad asks over every transport, a query after the other on each, while
// servers replace one another. A query over UDP is sent once and has to be
// answered. Over the others a client whose connection was closed in order asks
// again over a new one, as RFC 7766 §6.2.4 and its like for TLS, HTTP and QUIC
// say; any other end of a connection is a query lost.
type restartLoad struct {
	t      *testing.T
	wg     sync.WaitGroup
	mu     sync.Mutex
	moved  *sync.Cond
	counts map[string]int // answers of each client
	failed bool
	ended  bool
	again  map[string]int // queries that were asked again, by transport and why
}

func startRestartLoad(t *testing.T, srv *running) *restartLoad {
	l := &restartLoad{t: t, counts: map[string]int{}, again: map[string]int{}}
	l.moved = sync.NewCond(&l.mu)
	query, err := new(dns.Msg).SetQuestion("example.com.", dns.TypeMX).Pack()
	if err != nil {
		t.Fatal(err)
	}
	query[0], query[1] = 0, 0
	clients := loadClients(t, srv)
	stay := len(clients) // from here on, for as long as the server lets them
	for i, c := range append(clients, loadClients(t, srv)...) {
		name := fmt.Sprintf("%s (client %d)", c.name, i)
		l.mu.Lock() // those before are at it
		l.counts[name] = 0
		l.mu.Unlock()
		l.wg.Go(func() {
			defer c.hangUp()
			for n := 1; l.goesOn(); n++ {
				l.done(name, l.ask(c, query))
				if i < stay && n%20 == 0 {
					c.hangUp()
				}
			}
		})
	}
	t.Cleanup(l.end) // before its connections and the servers
	return l
}

func (l *restartLoad) goesOn() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.ended && !l.failed
}

func (l *restartLoad) done(name string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.t.Errorf("%s: after %d answers: %v", name, l.counts[name], err)
		l.failed = true
	}
	l.counts[name]++
	l.moved.Broadcast()
}

// ask asks until there is an answer, or no good reason that there is none.
func (l *restartLoad) ask(c loadClient, query []byte) error {
	const mostCloses = 5 // of connections one after another
	for closes := 0; ; closes++ {
		answer, err := c.ask(query)
		if err == nil {
			m := new(dns.Msg)
			if err := m.Unpack(answer); err != nil || m.Rcode != dns.RcodeSuccess || len(m.Answer) != 1 {
				return fmt.Errorf("%w: %s", err, m)
			}
			return nil
		}
		why := inOrder(err)
		if why == "" || closes == mostCloses || c.name == "UDP" {
			return err
		}
		l.mu.Lock()
		l.again[c.name+": "+why]++
		l.mu.Unlock()
		c.hangUp()
	}
}

// inOrder says how a connection was closed in order; empty when it was not.
func inOrder(err error) string {
	var app *quic.ApplicationError
	var web *http3.Error
	var transport *quic.TransportError
	switch {
	case errors.Is(err, io.EOF):
		return "closed"
	case strings.Contains(err.Error(), "http: server closed idle connection"): // the same over HTTP/1.1, seen a moment earlier
		return "closed"
	case strings.Contains(err.Error(), "http2: client conn could not be established"): // and GOAWAY came first
		return "closed in the handshake"
	case errors.Is(err, syscall.EPIPE):
		return "closed before the query was written"
	case errors.As(err, &app) && app.Remote && (app.ErrorCode == 0 || app.ErrorCode == quic.ApplicationErrorCode(http3.ErrCodeNoError)):
		return "closed"
	case errors.As(err, &web) && web.Remote && web.ErrorCode == http3.ErrCodeNoError:
		return "closed"
	case errors.As(err, &transport) && transport.Remote && (transport.ErrorCode == quic.ConnectionRefused || transport.ErrorCode == quic.ApplicationErrorErrorCode):
		return "closed in the handshake" // RFC 9000 §10.2.3, §20.1
	}
	return ""
}

// more waits until every client has had n more answers.
func (l *restartLoad) more(n int) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, before := range l.counts {
		for l.counts[name] < before+n && !l.failed {
			l.moved.Wait()
		}
	}
	if l.failed {
		l.t.FailNow()
	}
}

// end ends all clients; more than once is the same as once.
func (l *restartLoad) end() {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	l.wg.Wait()
}

func (l *restartLoad) stop() {
	l.end()
	l.t.Logf("answers: %v; asked again: %v", l.counts, l.again)
}

const betweenAnswers = 50 // of each client, before and after each restart

// restarts is how many there are: the race detector makes each ten times as long.
func restarts() int {
	if raceDetector || testing.Short() {
		return 2
	}
	return 4
}

const restartSettings = `
nameservers: [{name: ns1.park.example, addresses: [192.0.2.1]}]
listen:
  udp: ["%s"]
  tcp: ["%s"]
  dot: ["%s"]
  doh: ["%s"]
  doq: ["%s"]
  admin: ["%s"]
store: {directory: %s}
` + patientTimeouts + "\n"

// restartFile is a settings file for these addresses.
func restartFile(t *testing.T, store string, addr map[string][]string) string {
	t.Helper()
	args := []any{}
	for _, transport := range []string{"udp", "tcp", "dot", "doh", "doq", "admin"} {
		one := loopbackAny
		if known := addr[transport]; known != nil {
			one = known[0]
		}
		args = append(args, one)
	}
	return write(t, t.TempDir(), "settings.yaml", fmt.Sprintf(restartSettings, append(args, store)...))
}

// A server takes over from another again and again, without a service manager.
func TestOverlappingRestartUnderLoadLosesNothing(t *testing.T) {
	store := filepath.Join(t.TempDir(), "store")
	srv := start(t, "--config", restartFile(t, store, nil))
	file := restartFile(t, store, srv.addr)
	load := startRestartLoad(t, srv)
	for range restarts() {
		load.more(betweenAnswers)
		next := start(t, "--overlap", "--config", file)
		load.more(betweenAnswers)
		stopsInOrder(t, srv)
		srv = next
	}
	load.more(betweenAnswers)
	load.stop()
	stopsInOrder(t, srv)
}

// A service manager keeps the sockets, and starts the next server when the one
// before has ended.
func TestRestartWithInheritedSocketsUnderLoadLosesNothing(t *testing.T) {
	store := filepath.Join(t.TempDir(), "store")
	sockets := managedSockets(t)
	srv := sockets.start(t, "--config", restartFile(t, store, nil))
	load := startRestartLoad(t, srv)
	for range restarts() {
		load.more(betweenAnswers)
		stopsInOrder(t, srv)
		srv = sockets.start(t, "--config", restartFile(t, store, nil))
	}
	load.more(betweenAnswers)
	load.stop()
	stopsInOrder(t, srv)
}

// managed are sockets that a service manager keeps.
type managed struct {
	names []string
	files []*os.File
}

func managedSockets(t *testing.T) *managed {
	m := new(managed)
	web := m.stream(t, "doh", loopbackAny)
	m.datagram(t, "doh", web)
	for _, name := range []string{"udp", "doq"} {
		m.datagram(t, name, loopbackAny)
	}
	for _, name := range []string{"tcp", "dot", "admin"} {
		m.stream(t, name, loopbackAny)
	}
	return m
}

func (m *managed) stream(t *testing.T, name, addr string) string {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	m.keep(t, name, ln.(*net.TCPListener))
	return ln.Addr().String()
}

func (m *managed) datagram(t *testing.T, name, addr string) {
	t.Helper()
	conn, err := net.ListenPacket("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	m.keep(t, name, conn.(*net.UDPConn))
}

func (m *managed) keep(t *testing.T, name string, socket interface {
	io.Closer
	File() (*os.File, error)
}) {
	t.Helper()
	f, err := socket.File()
	socket.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	m.names, m.files = append(m.names, name), append(m.files, f)
}

// start runs a server with the sockets, by sd_listen_fds(3).
func (m *managed) start(t *testing.T, args ...string) *running {
	t.Helper()
	r := launchCommand(t, m.command(t, args...))
	r.awaitReady()
	return r
}

// command sets the variable with the process' own number, which only that knows.
func (m *managed) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := program(t, args...)
	cmd.Args = append([]string{"sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, cmd.Path}, args...)
	cmd.Path = "/bin/sh"
	cmd.ExtraFiles = m.files
	cmd.Env = append(cmd.Env, fmt.Sprintf("LISTEN_FDS=%d", len(m.files)), "LISTEN_FDNAMES="+strings.Join(m.names, ":"))
	return cmd
}

// Sockets without a use are a mistake in a unit, and said to be.
func TestInheritedSocketsOfNoTransport(t *testing.T) {
	m := new(managed)
	m.stream(t, "domain-park.socket", loopbackAny)
	cmd := m.command(t, "-n", "ns1.park.example")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), `named "domain-park.socket": want the name udp`) {
		t.Errorf("%v\n%s", err, out)
	}
	cmd = m.command(t, "-n", "ns1.park.example")
	cmd.Env = append(cmd.Env, "LISTEN_FDNAMES=tcp")
	cmd.Args = append(cmd.Args, "--overlap")
	out, err = cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "--overlap: the service manager has passed on sockets") {
		t.Errorf("%v\n%s", err, out)
	}
}

// The query that has a service manager start the server is answered, too.
func TestSocketActivationBySystemd(t *testing.T) {
	tool := tool(t, "systemd-socket-activate")
	free, err := net.ListenPacket("udp", loopbackAny)
	if err != nil {
		t.Fatal(err)
	}
	addr := free.LocalAddr().String()
	free.Close()
	file := restartFile(t, filepath.Join(t.TempDir(), "store"), nil)
	cmd := program(t, "--config", file)
	var passed []string // it hands on what it is told to
	for _, variable := range cmd.Env {
		name, _, _ := strings.Cut(variable, "=")
		passed = append(passed, "-E", name)
	}
	cmd.Args = append(append([]string{tool, "--datagram", "--listen=" + addr, "--fdname=udp"}, passed...), append([]string{cmd.Path}, cmd.Args[1:]...)...)
	cmd.Path = tool
	r := launchCommand(t, cmd)
	r.await("Listening on")
	if got := ask(t, "udp", addr, "example.com.", dns.TypeMX); !strings.Contains(got, "MX") {
		t.Errorf("got %s", got)
	}
	r.awaitReady()
	if bound := r.addr["udp"]; len(bound) != 1 || bound[0] != addr {
		t.Errorf("bound to %v, want %s", bound, addr)
	}
	r.signal(syscall.SIGTERM)
	if status := r.end(); status != 0 {
		t.Errorf("status %d\n%s", status, r.log.String())
	}
}
