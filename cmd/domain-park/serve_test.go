package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/miekg/dns"
)

func ask(t *testing.T, network, addr, name string, qtype uint16) string {
	t.Helper()
	client := &dns.Client{Net: network, Timeout: answerWithin}
	m, _, err := client.Exchange(new(dns.Msg).SetQuestion(name, qtype), addr)
	if err != nil {
		t.Fatalf("%s %s: %v", network, addr, err)
	}
	if len(m.Answer) != 1 {
		t.Fatalf("%s %s: %s", network, addr, m)
	}
	return m.Answer[0].String()
}

// TestServe is the main job: one command, and every domain is parked, over
// UDP and TCP, IPv4 and IPv6. Either signal ends it in order.
func TestServe(t *testing.T) {
	families := 1
	if haveIPv6Loopback() {
		families = 2
	}
	for _, s := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		r := start(t, "-n", "ns1.park.example=192.0.2.1", "-n", "ns2.park.example", "--rua", "r@park.example", "--port", "0")
		asked := 0
		for network, addrs := range r.addr {
			if len(addrs) != families {
				t.Errorf("%s on %q", network, addrs)
			}
			for _, addr := range addrs {
				if got, want := ask(t, network, addr, "example.com.", dns.TypeTXT), "example.com.\t3600\tIN\tTXT\t\"v=spf1 -all\""; got != want {
					t.Errorf("%s %s: got %s, want %s", network, addr, got, want)
				}
				if got := ask(t, network, addr, "_dmarc.example.co.uk.", dns.TypeTXT); !strings.Contains(got, "p=reject") || !strings.Contains(got, "rua=mailto:r@park.example;") {
					t.Errorf("%s %s: got %s", network, addr, got)
				}
				asked += 2
			}
		}
		r.signal(s)
		if status := r.end(); status != 0 {
			t.Errorf("%s: status %d", s, status)
		}
		for _, want := range []string{"signal=" + s.String(), fmt.Sprintf("msg=stopped answered=%d refused=0", asked)} {
			if !strings.Contains(r.log.String(), want) {
				t.Errorf("no %q in\n%s", want, r.log.String())
			}
		}
		if asked != 4*families {
			t.Errorf("asked %d times", asked)
		}
	}
}

func TestOlderFlagsChooseOneTransport(t *testing.T) {
	for flag, other := range map[string]string{"--tcp": "udp", "--udp": "tcp"} {
		r := start(t, "-n", "ns1.park.example:192.0.2.1", "--host", "127.0.0.1", "--port", "0", flag)
		network := strings.TrimPrefix(flag, "--")
		if len(r.addr[network]) != 1 || len(r.addr[other]) != 0 {
			t.Fatalf("%s listens on %v", flag, r.addr)
		}
		ask(t, network, r.addr[network][0], "example.com.", dns.TypeMX)
		r.signal(syscall.SIGTERM)
		if status := r.end(); status != 0 {
			t.Errorf("%s: status %d", flag, status)
		}
	}
}

// A client in the middle of a message holds up the drain; a second signal
// doesn't wait for it.
func TestSecondSignalStopsAtOnce(t *testing.T) {
	file := write(t, t.TempDir(), "s.yaml", `
nameservers: [{name: ns1.park.example}]
listen: {udp: [], tcp: ["127.0.0.1:0"], dot: [], doh: [], doq: [], admin: []}
policy: {timeouts: {message: 1m, idle: 1h, shutdown: 10m}}
`)
	r := start(t, "--config", file)
	// An answer shows that the server has taken the connection, and half a
	// message behind the query that it has begun to read it.
	conn, err := net.Dial("tcp", r.addr["tcp"][0])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	dc := &dns.Conn{Conn: conn}
	if err := dc.WriteMsg(new(dns.Msg).SetQuestion("example.com.", dns.TypeMX)); err != nil {
		t.Fatal(err)
	}
	if _, err := dc.ReadMsg(); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte{0, 40, 1, 2}); err != nil {
		t.Fatal(err)
	}
	r.signal(syscall.SIGTERM)
	r.await("msg=\"stopping: connections are drained")
	r.signal(os.Interrupt)
	if status := r.end(); status != 1 || !strings.Contains(r.log.String(), "stopped at once") {
		t.Errorf("status %d\n%s", status, r.log.String())
	}
}

func TestAddressInUse(t *testing.T) {
	held, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	_, port, _ := net.SplitHostPort(held.LocalAddr().String())
	r := execute(t, "-n", "ns1.park.example", "--host", "127.0.0.1", "--udp", "--port", port)
	want := "listen udp " + held.LocalAddr().String() + ": address already in use"
	if r.status != 1 || !strings.HasPrefix(r.stderr, want) || strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("status %d\n%s", r.status, r.stderr)
	}
	holder := fmt.Sprintf("by %s (pid %d); hint: to take over from it without a gap, start this one with --overlap", filepath.Base(os.Args[0]), os.Getpid())
	if runtime.GOOS == "linux" && !strings.Contains(r.stderr, holder) {
		t.Errorf("the holder, %s, is not named: %s", holder, r.stderr)
	}
}

func TestLogIsWrittenAsTheSettingsSay(t *testing.T) {
	file := write(t, t.TempDir(), "s.yaml", `
nameservers: [{name: ns1.park.example}]
listen: {udp: ["127.0.0.1:0"], tcp: [], dot: [], doh: [], doq: [], admin: []}
telemetry: {log: {format: json}}
`)
	r := launch(t, "--config", file)
	r.await(`"msg":"ready"`)
	r.signal(syscall.SIGTERM)
	if status := r.end(); status != 0 {
		t.Errorf("status %d", status)
	}
	for line := range strings.Lines(r.log.String()) {
		var fields struct{ Time, Level, Msg string }
		if err := json.Unmarshal([]byte(line), &fields); err != nil || fields.Msg == "" || fields.Level != "INFO" && !strings.Contains(fields.Msg, "runs as root") {
			t.Errorf("%v: %s", err, line)
		}
	}
}
