package main

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const knownSettings = `
nameservers: [{name: ns1.park.example}]
listen: {udp: ["127.0.0.1:0"], tcp: ["127.0.0.1:0"], dot: ["127.0.0.1:0"], doh: [], doq: [], admin: ["127.0.0.1:0"]}
`

// TestMetricsOfReloads: two that are good, one that is not, one that mends it.
func TestMetricsOfReloads(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, "settings.yaml", knownSettings)
	srv := start(t, "--config", file)
	expect := func(good, failed, state float64) {
		t.Helper()
		m := srv.metrics()
		for name, want := range map[string]float64{
			"reloads_total{cause=signal,result=success}": good, "reloads_total{cause=signal,result=failure}": failed,
			"reloads_total{cause=watch,result=success}": 0, "reloads_total{cause=watch,result=failure}": 0,
			"reload_good{cause=signal}": state, "reload_good{cause=watch}": 1,
		} {
			if m[name] != want {
				t.Errorf("%s is %v, want %v", name, m[name], want)
			}
		}
	}
	reload := func(settings, logged string) (timestamp float64) {
		t.Helper()
		write(t, dir, filepath.Base(file), settings)
		srv.signal(syscall.SIGHUP)
		srv.await(logged)
		return srv.metrics()["reload_success_timestamp_seconds{}"]
	}
	expect(0, 0, 1)
	reload(knownSettings, "msg=reloaded")
	last := reload(knownSettings, "msg=reloaded")
	expect(2, 0, 1)
	if after := reload(knownSettings+"nonsense: 1\n", "reload failed"); after != last || last == 0 {
		t.Errorf("what is in force was read at %v, and after a failure at %v", last, after)
	}
	expect(2, 1, 0)
	if after := reload(knownSettings, "msg=reloaded"); after <= last {
		t.Errorf("read at %v, then at %v", last, after)
	}
	expect(3, 1, 1)
	stopsInOrder(t, srv)
}

// TestMetricsOfConnections opens known connections from one client: full and
// resumed handshakes, and two more than it may have.
func TestMetricsOfConnections(t *testing.T) {
	const most, more = 6, 2
	srv := start(t, "--config", write(t, t.TempDir(), "settings.yaml", knownSettings+`
policy: {trust: [], connections: {perclient: 6, age: 1h}, timeouts: {idle: 1h}}
`))
	sessions := &tls.Config{InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(1), ServerName: testHost, NextProtos: []string{"dot"}}
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	exchange := func(c net.Conn) {
		t.Helper()
		open = append(open, c)
		c.SetDeadline(time.Now().Add(answerWithin))
		conn := &dns.Conn{Conn: c}
		if err := conn.WriteMsg(new(dns.Msg).SetQuestion("example.com.", dns.TypeMX)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.ReadMsg(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 { // the first handshake is full
		c, err := tls.Dial("tcp", srv.addr["dot"][0], sessions)
		if err != nil {
			t.Fatal(err)
		}
		exchange(c)
		if resumed := c.ConnectionState().DidResume; resumed != (i > 0) {
			t.Errorf("connection %d: resumed: %t", i, resumed)
		}
	}
	for range most - 3 {
		c, err := net.Dial("tcp", srv.addr["tcp"][0])
		if err != nil {
			t.Fatal(err)
		}
		exchange(c)
	}
	for range more {
		c, err := net.Dial("tcp", srv.addr["tcp"][0])
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(answerWithin))
		if _, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) { // closed or reset
			t.Error("a connection too many is open")
		}
		c.Close()
	}
	m := srv.metrics()
	for name, want := range map[string]float64{
		"connections_open{}":                       most,
		"connection_openings_total{result=opened}": most, "connection_openings_total{result=crowded}": more, "connection_openings_total{result=denied}": 0,
		"connection_evictions_total{}":              0,
		"handshakes_total{kind=full,result=passed}": 1, "handshakes_total{kind=resumed,result=passed}": 2,
		"handshakes_total{kind=full,result=refused}": 0, "handshakes_total{kind=resumed,result=refused}": 0,
		"queries_total{transport=dot,verdict=answered}": 3, "queries_total{transport=tcp,verdict=answered}": most - 3,
	} {
		if got, ok := m[name]; !ok || got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

// TestMetricsOfDroppedDatagrams sends more than the receive buffer takes to a
// server that is stopped: what it then answers and what the kernel dropped add up
// to what was sent.
func TestMetricsOfDroppedDatagrams(t *testing.T) {
	srv := start(t, "--config", write(t, t.TempDir(), "settings.yaml", knownSettings+"workers: 1\n"))
	conn, err := net.Dial("udp", srv.addr["udp"][0])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	wire, err := new(dns.Msg).SetQuestion("example.com.", dns.TypeMX).Pack()
	if err != nil {
		t.Fatal(err)
	}
	const sent = 20_000 // the buffer takes some 5,000 at most
	srv.signal(syscall.SIGSTOP)
	for range sent {
		if _, err := conn.Write(wire); err != nil {
			t.Fatal(err)
		}
	}
	srv.signal(syscall.SIGCONT)
	var dropped, answered float64
	for end := time.Now().Add(answerWithin); dropped+answered != sent && time.Now().Before(end); {
		m := srv.metrics()
		dropped, answered = m["udp_drops_total{address="+srv.addr["udp"][0]+"}"], m.sum("queries_total", "transport=udp")
	}
	if dropped+answered != sent || dropped == 0 || answered == 0 {
		t.Errorf("%v dropped and %v answered of %d sent", dropped, answered, sent)
	}
	stopsInOrder(t, srv)
}
