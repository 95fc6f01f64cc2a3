package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// peer is a server that is asked.
type peer struct {
	name     string
	udp, tcp string
	conns    [2]net.Conn
}

func (p *peer) connect(t *testing.T) {
	t.Helper()
	for i, network := range []string{"udp", "tcp"} {
		addr := []string{p.udp, p.tcp}[i]
		conn, err := net.Dial(network, addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		p.conns[i] = conn
	}
}

// ask sends messages over TCP, all at once, or over UDP, one after another. It
// returns the answers in the order of the questions.
func (p *peer) ask(t *testing.T, wires [][]byte, udp bool) []*dns.Msg {
	network := map[bool]int{true: 0, false: 1}[udp]
	conn := p.conns[network]
	conn.SetDeadline(time.Now().Add(answerWithin))
	if !udp {
		var all []byte
		for _, wire := range wires {
			all = append(all, framed(wire)...)
		}
		if _, err := conn.Write(all); err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
	}
	answers := map[uint16]*dns.Msg{}
	buf := make([]byte, 65535)
	for _, wire := range wires {
		n, err := 0, error(nil)
		if udp {
			if _, err = conn.Write(wire); err == nil {
				n, err = conn.Read(buf)
			}
		} else if _, err = io.ReadFull(conn, buf[:2]); err == nil {
			n, err = io.ReadFull(conn, buf[:binary.BigEndian.Uint16(buf)])
		}
		m := new(dns.Msg)
		if err == nil {
			err = m.Unpack(buf[:n])
		}
		if err != nil {
			t.Errorf("%s: %v", p.name, err)
			return nil
		}
		answers[m.Id] = m
	}
	var out []*dns.Msg
	for _, wire := range wires {
		m := answers[binary.BigEndian.Uint16(wire)]
		if m == nil {
			t.Errorf("%s: no answer for %x", p.name, wire)
		}
		out = append(out, m)
	}
	return out
}

// startHere serves in this process.
func startHere(t *testing.T, settings string) *peer {
	t.Helper()
	srv, err := (&source{Config: settings}).load()
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	if err := srv.open(log); err != nil {
		t.Fatal(err)
	}
	cfg := srv.listenersConfig()
	cfg.Log = log
	addrs := serveListeners(t, cfg, srv)
	return &peer{name: "domain-park", udp: addrs["udp"], tcp: addrs["tcp"]}
}

// nsdServer is what every NSD is told: the address, the directory of its zone
// files, and one for what it writes.
const nsdServer = `server:
	ip-address: %s
	username: ""
	chroot: ""
	zonesdir: %q
	database: ""
	pidfile: "%[3]s/pid"
	xfrdfile: "%[3]s/xfrd"
	zonelistfile: "%[3]s/zonelist"
	logfile: "/dev/stderr"
	server-count: 1
	tcp-query-count: 0
	tcp-timeout: 60
	minimal-responses: no
	rrl-ratelimit: 0
	rrl-whitelist-ratelimit: 0
remote-control:
	control-enable: no
`

// startNSD runs NSD with the zones of dir.
func startNSD(t *testing.T, nsd, dir string, zones map[string]*generatedZone) *peer {
	t.Helper()
	work, port := t.TempDir(), freePort(t)
	conf := fmt.Sprintf(nsdServer, "127.0.0.1@"+port, dir, work)
	for name := range zones {
		conf += fmt.Sprintf("zone:\n\tname: %q\n\tzonefile: %q\n", name, name+".zone")
	}
	return startPeer(t, "NSD", "127.0.0.1:"+port, slices.Collect(maps.Keys(zones)), exec.Command(nsd, "-d", "-c", write(t, work, "nsd.conf", conf)))
}

// startKnot runs Knot DNS with the zones of dir.
func startKnot(t *testing.T, knotd, dir string, zones map[string]*generatedZone) *peer {
	t.Helper()
	work, port := t.TempDir(), freePort(t)
	conf := fmt.Sprintf(`server:
  rundir: %q
  listen: 127.0.0.1@%s
  udp-workers: 1
  tcp-workers: 1
  tcp-idle-timeout: 60
database:
  storage: %q
template:
  - id: default
    storage: %q
    semantic-checks: false
    zonefile-sync: -1
    journal-content: none
log:
  - target: stderr
    any: warning
zone:
`, work, port, work, dir)
	for name := range zones {
		conf += fmt.Sprintf("  - domain: %q\n    file: %q\n", name, name+".zone")
	}
	return startPeer(t, "Knot DNS", "127.0.0.1:"+port, slices.Collect(maps.Keys(zones)), exec.Command(knotd, "-c", write(t, work, "knot.conf", conf)))
}

// startPeer runs a server and waits until it answers for every zone.
func startPeer(t *testing.T, name, addr string, zones []string, cmd *exec.Cmd) *peer {
	t.Helper()
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s: %s", name, log.String())
		}
	})
	client := dns.Client{Net: "tcp", Timeout: time.Second}
	deadline := time.Now().Add(30 * time.Second)
	for _, zone := range zones {
		for {
			m, _, err := client.Exchange(new(dns.Msg).SetQuestion(dns.Fqdn(zone), dns.TypeSOA), addr)
			if err == nil && len(m.Answer) == 1 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s does not answer for %s: %v, %v", name, zone, err, m)
			}
			<-time.After(50 * time.Millisecond)
		}
	}
	return &peer{name: name, udp: addr, tcp: addr}
}
