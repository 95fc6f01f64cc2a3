package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// resolversZones are the domains of mainJob.
var resolversZones = []string{"example.com", "example.co.uk", "example.org"}

// TestUnboundResolvesOverDoT has a real resolver in front, which minimises
// names and verifies the server's certificate.
func TestUnboundResolvesOverDoT(t *testing.T) {
	tool(t, "unbound")
	ca := newAuthority(t)
	srv := startEncrypted(t, ca)
	zones := func(name string) string {
		text := "server:\n  qname-minimisation-strict: yes\n  tls-cert-bundle: " + ca.file + "\n"
		for _, zone := range resolversZones {
			text += fmt.Sprintf("stub-zone:\n  name: %s\n  stub-addr: 127.0.0.1@%s#%s\n  stub-tls-upstream: yes\n", zone, srv.portOf("dot"), name)
		}
		return text
	}
	expectResolves(t, startUnbound(t, zones(testHost)))
	// In another process: Unbound 1.17 takes a connection that is open for
	// whatever name it was verified by.
	other := startUnbound(t, zones("other.park.example"))
	expectServerFailure(t, other)
	other.expectLog("certificate verify failed")
}

// TestKnotResolverForwardsOverDoT does the same with kresd.
func TestKnotResolverForwardsOverDoT(t *testing.T) {
	tool(t, "kresd")
	ca := newAuthority(t)
	srv := startEncrypted(t, ca)
	forward := func(name string) string {
		zones := "'" + strings.Join(resolversZones, "', '") + "'"
		return fmt.Sprintf("trust_anchors.set_insecure({ %s })\npolicy.add(policy.suffix(policy.TLS_FORWARD({\n"+
			"  { '127.0.0.1@%s', hostname = '%s', ca_file = '%s' },\n}), policy.todnames({ %s })))\n", zones, srv.portOf("dot"), name, ca.file, zones)
	}
	expectResolves(t, startKresd(t, forward(testHost)))
	other := startKresd(t, forward("other.park.example"))
	expectServerFailure(t, other)
	other.expectLog("name in the certificate does not match")
}

// expectResolves asks all that a resolver passes on as it is.
func expectResolves(t *testing.T, r *daemon) {
	t.Helper()
	for _, q := range mainJob {
		if q.qtype == "NS" || q.qtype == "ANY" || q.qtype == "A" {
			continue // which a resolver answers in its own way
		}
		m := r.ask(q.name, dns.StringToType[q.qtype])
		var lines bytes.Buffer
		for _, rr := range m.Answer {
			fmt.Fprintln(&lines, rr)
		}
		if got := recordLines(lines.Bytes()); m.Rcode != dns.RcodeSuccess || !slices.Equal(got, q.records) {
			t.Errorf("%s %s: %s, got %q, want %q", q.qtype, q.name, dns.RcodeToString[m.Rcode], got, q.records)
		}
	}
}

func expectServerFailure(t *testing.T, r *daemon) {
	t.Helper()
	if m := r.ask("example.com", dns.TypeTXT); m.Rcode != dns.RcodeServerFailure {
		t.Errorf("the certificate was good for another host: %s", m)
	}
}

// daemon is a resolver that runs until its test ends.
type daemon struct {
	t    *testing.T
	addr string
	log  bytes.Buffer
	stop func()
}

// startUnbound runs Unbound with settings behind those that a test needs.
// There are no trust anchors: the root's servers are out of reach.
func startUnbound(t *testing.T, settings string) *daemon {
	t.Helper()
	port, dir := freePort(t), t.TempDir()
	file := write(t, dir, "unbound.conf", fmt.Sprintf(`server:
  interface: 127.0.0.1@%s
  directory: "%s"
  username: ""
  chroot: ""
  pidfile: ""
  use-syslog: no
  logfile: ""
  module-config: "iterator"
  do-not-query-localhost: no
  do-daemonize: no
remote-control:
  control-enable: no
%s`, port, dir, settings))
	return startDaemon(t, port, exec.Command(tool(t, "unbound"), "-d", "-c", file))
}

// startKresd runs Knot Resolver 5, which keeps its cache and a control socket
// in its directory.
func startKresd(t *testing.T, settings string) *daemon {
	t.Helper()
	port, dir := freePort(t), t.TempDir()
	file := write(t, dir, "kresd.conf", fmt.Sprintf(`net.listen('127.0.0.1', %s, { kind = 'dns' })
cache.size = 10 * MB
%s`, port, settings))
	return startDaemon(t, port, exec.Command(tool(t, "kresd"), "--noninteractive", "--config="+file, dir))
}

// startDaemon runs a command until it listens on a port of 127.0.0.1.
func startDaemon(t *testing.T, port string, cmd *exec.Cmd) *daemon {
	t.Helper()
	d := &daemon{t: t, addr: net.JoinHostPort("127.0.0.1", port)}
	cmd.Stdout, cmd.Stderr = &d.log, &d.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	d.stop = func() {
		cmd.Process.Kill()
		<-ended
	}
	t.Cleanup(func() {
		d.stop()
		if t.Failed() {
			t.Logf("%s:\n%s", cmd, &d.log)
		}
	})
	for deadline := time.Now().Add(answerWithin); ; {
		conn, err := net.Dial("tcp", d.addr)
		if err == nil {
			conn.Close()
			return d
		}
		select {
		case <-ended:
			t.Fatalf("%s ended", cmd)
		case <-time.After(10 * time.Millisecond):
			if time.Now().After(deadline) {
				t.Fatalf("%s: %v", cmd, err)
			}
		}
	}
}

func (d *daemon) ask(name string, qtype uint16) *dns.Msg {
	d.t.Helper()
	return d.exchange(new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype))
}

func (d *daemon) exchange(q *dns.Msg) *dns.Msg {
	d.t.Helper()
	client := &dns.Client{Net: "tcp", Timeout: answerWithin}
	m, _, err := client.Exchange(q, d.addr)
	if err != nil {
		d.t.Fatalf("%s: %v", q.Question[0].String(), err)
	}
	return m
}

// expectLog ends the daemon and looks for text in what it has said.
func (d *daemon) expectLog(text string) {
	d.t.Helper()
	d.stop()
	if !bytes.Contains(d.log.Bytes(), []byte(text)) {
		d.t.Errorf("no %q in the log:\n%s", text, &d.log)
	}
}

// freePort is a port that nobody has at present, over TCP or UDP, on any IPv4
// address. It is none of those that the kernel gives to outgoing connections
// (ip(7), ip_local_port_range): another test's could get it meanwhile.
func freePort(t *testing.T) string {
	t.Helper()
	const first, last = 10_000, 32_767
	var err error
	for range 100 {
		port := strconv.Itoa(first + rand.IntN(last-first))
		var l net.Listener
		if l, err = net.Listen("tcp4", ":"+port); err != nil {
			continue
		}
		l.Close()
		var p net.PacketConn
		if p, err = net.ListenPacket("udp4", ":"+port); err == nil {
			p.Close()
			return port
		}
	}
	t.Fatal(err)
	return ""
}
