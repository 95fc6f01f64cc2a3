package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestDNSTapIsReadByOthers has fstrm_capture collect what dnstap-ldns then
// decodes: every query and every answer, over a Unix socket and over TCP.
func TestDNSTapIsReadByOthers(t *testing.T) {
	capture, decode := tool(t, "fstrm_capture"), tool(t, "dnstap-ldns")
	dir := t.TempDir()
	port := freePort(t)
	for network, c := range map[string]struct {
		address string
		args    []string
	}{
		"unix": {"unix:" + filepath.Join(dir, "tap.sock"), []string{"-u", filepath.Join(dir, "tap.sock")}},
		"tcp":  {"tcp:127.0.0.1:" + port, []string{"-a", "127.0.0.1", "-p", port}},
	} {
		t.Run(network, func(t *testing.T) {
			file := filepath.Join(dir, network+".fstrm")
			collector := exec.Command(capture, append(c.args, "-t", "protobuf:dnstap.Dnstap", "-w", file)...)
			collector.Stderr = os.Stderr
			if err := collector.Start(); err != nil {
				t.Fatal(err)
			}
			defer collector.Wait()
			defer collector.Process.Kill()
			srv := start(t, "--config", write(t, t.TempDir(), "settings.yaml", fmt.Sprintf(`
nameservers: [{name: ns1.park.example}]
listen: {udp: ["127.0.0.1:0"], tcp: ["127.0.0.1:0"], dot: [], doh: [], doq: [], admin: []}
identity: {id: tapped}
telemetry: {dnstap: %q}
`, c.address)))
			srv.await("dnstap: the collector takes messages")
			const each = 50
			for i := range each {
				for _, transport := range []string{"udp", "tcp"} {
					client := &dns.Client{Net: transport, Timeout: answerWithin}
					m := new(dns.Msg).SetQuestion(fmt.Sprintf("tap-%d.example.com.", i), dns.TypeMX)
					if _, _, err := client.Exchange(m, srv.addr[transport][0]); err != nil {
						t.Fatal(err)
					}
				}
			}
			stopsInOrder(t, srv) // which sends what waits
			if err := collector.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			collector.Wait()
			out, err := exec.Command(decode, "-y", "-r", file).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for text, want := range map[string]int{
				"type: AUTH_QUERY": 2 * each, "type: AUTH_RESPONSE": 2 * each, "socket_protocol: UDP": 2 * each, "socket_protocol: TCP": 2 * each,
				`identity: "tapped"`: 4 * each, ";tap-7.example.com.\tIN\tMX\n": 4, "tap-7.example.com.\t3600\tIN\tMX\t0 .": 2, `query_address: "127.0.0.1"`: 4 * each,
			} {
				if got := strings.Count(string(out), text); got != want {
					t.Errorf("%q occurs %d times, want %d", text, got, want)
				}
			}
			if t.Failed() {
				t.Logf("%.3000s", out)
			}
		})
	}
}

// TestAnswersFlowWhileTheTapIsStuck has a collector that is stopped: answers are
// not, and neither is the end.
func TestAnswersFlowWhileTheTapIsStuck(t *testing.T) {
	capture := tool(t, "fstrm_capture")
	dir := t.TempDir()
	socket := filepath.Join(dir, "tap.sock")
	collector := exec.Command(capture, "-u", socket, "-t", "protobuf:dnstap.Dnstap", "-w", filepath.Join(dir, "out"))
	if err := collector.Start(); err != nil {
		t.Fatal(err)
	}
	defer collector.Wait()
	defer collector.Process.Kill()
	srv := start(t, "--config", write(t, dir, "settings.yaml", fmt.Sprintf(`
nameservers: [{name: ns1.park.example}]
listen: {udp: ["127.0.0.1:0"], tcp: [], dot: [], doh: [], doq: [], admin: ["127.0.0.1:0"]}
telemetry: {dnstap: "unix:%s"}
`, socket)))
	srv.await("dnstap: the collector takes messages")
	if err := collector.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	client := &dns.Client{Timeout: answerWithin}
	conn, err := client.Dial(srv.addr["udp"][0])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const queries = 30_000 // more than the queue and the socket take
	for i := range queries {
		m := new(dns.Msg).SetQuestion("example.com.", dns.TypeTXT)
		if _, _, err := client.ExchangeWithConn(m, conn); err != nil {
			t.Fatalf("query %d: %v", i, err)
		}
	}
	response, err := http.Get("http://" + srv.addr["admin"][0] + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	metrics := string(body)
	if !strings.Contains(metrics, `domainpark_dnstap_messages_total{result="dropped"} `) || strings.Contains(metrics, `domainpark_dnstap_messages_total{result="dropped"} 0`) {
		t.Errorf("nothing is dropped:\n%s", metrics)
	}
	begin := time.Now()
	stopsInOrder(t, srv)
	t.Logf("it ended after %s", time.Since(begin))
}
