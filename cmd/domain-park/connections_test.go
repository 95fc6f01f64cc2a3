package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"domainpark/listeners"
	"domainpark/query"

	"github.com/miekg/dns"
)

// wave is how many connections one test makes. A client in this process would
// need as many descriptors again as the server, and a usual limit is 20,000.
const wave = 10_000

// asClients makes the test binary open connections to an address and hold
// them, so that their descriptors are not the server's.
const asClients = "DOMAIN_PARK_AS_CLIENTS"

// TestHoldConnections is that program: it says when all of them are open, and
// again when the server has closed each.
func TestHoldConnections(t *testing.T) {
	addr := os.Getenv(asClients)
	if addr == "" {
		t.Skip("a program of TestConnectionsThatSendLittleCostNothing")
	}
	conns := make([]net.Conn, wave)
	eachOf(wave, func(i int) { conns[i] = connect(t, addr, i) })
	fmt.Println("open")
	var closed atomic.Int64
	eachOf(wave, func(i int) {
		conns[i].SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := conns[i].Read(make([]byte, 1)); err == io.EOF || strings.Contains(fmt.Sprint(err), "reset") {
			closed.Add(1)
		}
		conns[i].Close()
	})
	fmt.Println("closed", closed.Load())
}

// TestConnectionsThatSendLittleCostNothing opens 10,000 connections that each
// send one byte and leave, then 10,000 that never send: the server answers
// meanwhile, and its goroutines and descriptors return to where they were.
func TestConnectionsThatSendLittleCostNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("20,000 connections")
	}
	s := &scenario{settings: `
nameservers: [{name: ns1.park.example}]
policy:
  connections: {total: 20000, perclient: 20000}
  timeouts: {idle: 5s}
`}
	both := scenarioTransport{name: "both", listen: func(cfg *listeners.Config) {
		cfg.TCP, cfg.UDP = []string{loopbackAny}, []string{loopbackAny}
	}}
	srv, addrs := s.serve(t, both)
	answers := func(when string) {
		t.Helper()
		for name, c := range map[string]scenarioClient{"UDP": dialUDPClient(t, addrs["udp"]), "TCP": dialTCPClient(t, addrs["tcp"])} {
			before := time.Now()
			m := new(dns.Msg)
			wire, _ := new(dns.Msg).SetQuestion("example.com.", dns.TypeTXT).Pack()
			if answer, _ := c.exchange(t, wire, false); m.Unpack(answer) != nil || len(m.Answer) != 1 {
				t.Fatalf("%s: no answer over %s", when, name)
			}
			t.Logf("%s: answered over %s within %s", when, name, time.Since(before).Round(10*time.Microsecond))
		}
	}
	answers("before")
	goroutines, descriptors := runtime.NumGoroutine(), openDescriptors(t)

	eachOf(wave, func(i int) {
		conn := connect(t, addrs["tcp"], i)
		conn.Write([]byte{0})
		conn.Close()
	})
	answers("after connections with one byte")
	awaitBaseline(t, goroutines, descriptors)

	clients := exec.Command(os.Args[0], "-test.run=^TestHoldConnections$")
	clients.Env = append(os.Environ(), asClients+"="+addrs["tcp"])
	stdout, err := clients.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := clients.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	awaitLine(t, lines, "open")
	answers("with silent connections open")
	awaitLine(t, lines, "closed "+strconv.Itoa(wave))
	for lines.Scan() {
	}
	if err := clients.Wait(); err != nil {
		t.Error(err)
	}
	answers("after silent connections")
	awaitBaseline(t, goroutines, descriptors)

	if got := srv.counters.Snapshot().Received(query.TCP); got != 4 {
		t.Errorf("%d queries were counted over TCP, 4 were sent", got)
	}
}

// eachOf runs f for 0 to n-1, 200 at a time.
func eachOf(n int, f func(i int)) {
	var wg sync.WaitGroup
	next := atomic.Int64{}
	for range 200 {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				f(int(i))
			}
		})
	}
	wg.Wait()
}

// connect connects from one of several loopback addresses, where there are
// several, so that no address runs out of ports.
func connect(t *testing.T, addr string, i int) net.Conn {
	d := net.Dialer{Timeout: answerWithin}
	if runtime.GOOS == "linux" {
		d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i%8))}
	}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		runtime.Goexit()
	}
	return conn
}

func awaitLine(t *testing.T, lines *bufio.Scanner, want string) {
	t.Helper()
	for lines.Scan() {
		if lines.Text() == want {
			return
		}
		t.Logf("clients: %s", lines.Text())
	}
	t.Fatalf("the clients ended without %q", want)
}

// awaitBaseline waits until goroutines and descriptors are back.
func awaitBaseline(t *testing.T, goroutines, descriptors int) {
	t.Helper()
	const few = 12 // what the test itself has asked over, both ends of it
	deadline := time.Now().Add(30 * time.Second)
	for runtime.NumGoroutine() > goroutines+few || openDescriptors(t) > descriptors+few {
		if time.Now().After(deadline) {
			stacks := make([]byte, 64<<10)
			t.Fatalf("%d goroutines and %d descriptors are left of %d and %d:\n%s", runtime.NumGoroutine(), openDescriptors(t),
				goroutines, descriptors, stacks[:runtime.Stack(stacks, true)])
		}
		<-time.After(time.Millisecond)
	}
}

// openDescriptors is how many descriptors this process has; 0 where that is
// not told.
func openDescriptors(t *testing.T) int {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0
	}
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		t.Fatal(err)
	}
	return len(names) - 1
}
