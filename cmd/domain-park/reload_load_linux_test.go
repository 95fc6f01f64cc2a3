package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// loadClient asks over one transport, a query after the other.
type loadClient struct {
	name string
	// ask returns the answer to a query with ID 0.
	ask func(query []byte) ([]byte, error)
	// hangUp ends the connection; the next query opens another.
	hangUp func()
}

// loadClients are clients of every transport of srv.
func loadClients(t *testing.T, srv *running) []loadClient {
	trusting := func(protocols ...string) *tls.Config {
		return &tls.Config{InsecureSkipVerify: true, NextProtos: protocols}
	}
	stream := func(name string, dial func() (net.Conn, error)) loadClient {
		var conn net.Conn
		hangUp := func() {
			if conn != nil {
				conn.Close()
				conn = nil
			}
		}
		return loadClient{name, func(query []byte) (answer []byte, err error) {
			if conn == nil {
				if conn, err = dial(); err != nil {
					conn = nil
					return nil, err
				}
			}
			conn.SetDeadline(time.Now().Add(answerWithin))
			if _, err := conn.Write(framed(query)); err != nil {
				return nil, err
			}
			return readFramed(conn)
		}, hangUp}
	}
	dialer := &net.Dialer{Timeout: answerWithin}
	clients := []loadClient{
		udpLoad(t, srv.addr["udp"][0]),
		udpLoad(t, srv.addr["udp"][0]),
		stream("TCP", func() (net.Conn, error) { return dialer.Dial("tcp", srv.addr["tcp"][0]) }),
		stream("DoT", func() (net.Conn, error) {
			return tls.DialWithDialer(dialer, "tcp", srv.addr["dot"][0], trusting("dot"))
		}),
		doqLoad(t, srv.addr["doq"][0], trusting("doq")),
	}
	for _, version := range []string{"1.1", "2"} {
		protocols := new(http.Protocols)
		protocols.SetHTTP1(version == "1.1")
		protocols.SetHTTP2(version == "2")
		transport := &http.Transport{TLSClientConfig: trusting(), Protocols: protocols, MaxConnsPerHost: 1}
		clients = append(clients, httpLoad("HTTP/"+version, srv.addr["doh"][0], transport, transport.CloseIdleConnections))
	}
	quicHTTP := &http3.Transport{TLSClientConfig: trusting(), QUICConfig: patientQUIC()}
	clients = append(clients, httpLoad("HTTP/3", srv.addr["doh3"][0], quicHTTP, quicHTTP.CloseIdleConnections))
	t.Cleanup(func() { quicHTTP.Close() })
	return clients
}

// udpLoad never sends a query twice: what is not answered has been lost.
func udpLoad(t *testing.T, addr string) loadClient {
	conn := dialClosing(t, "udp", addr)
	buf := make([]byte, dns.MaxMsgSize)
	return loadClient{"UDP", func(query []byte) ([]byte, error) {
		if _, err := conn.Write(query); err != nil {
			return nil, err
		}
		conn.SetDeadline(time.Now().Add(answerWithin))
		n, err := conn.Read(buf)
		return buf[:n], err
	}, func() {}}
}

func doqLoad(t *testing.T, addr string, config *tls.Config) loadClient {
	var conn *quic.Conn
	return loadClient{"DoQ", func(query []byte) (answer []byte, err error) {
		ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
		defer cancel()
		if conn == nil {
			if conn, err = quic.DialAddr(ctx, addr, config, patientQUIC()); err != nil {
				conn = nil
				return nil, err
			}
		}
		s, err := conn.OpenStreamSync(ctx)
		if err != nil {
			return nil, err
		}
		s.SetDeadline(time.Now().Add(answerWithin))
		if _, err := s.Write(framed(query)); err != nil {
			return nil, err
		}
		s.Close()
		return readFramed(s)
	}, func() {
		if conn != nil {
			conn.CloseWithError(0, "")
			conn = nil
		}
	}}
}

func httpLoad(name, addr string, transport http.RoundTripper, hangUp func()) loadClient {
	client := &http.Client{Transport: transport, Timeout: answerWithin}
	return loadClient{name, func(query []byte) ([]byte, error) {
		r, err := client.Post("https://"+addr+"/dns-query", "application/dns-message", bytes.NewReader(query))
		if err != nil {
			return nil, err
		}
		defer r.Body.Close()
		answer, err := io.ReadAll(r.Body)
		if err == nil && r.StatusCode != http.StatusOK {
			err = errors.New(r.Status)
		}
		return answer, err
	}, hangUp}
}

// reloadLoad asks srv over every transport until stop is called, which returns
// how many answers there were.
func reloadLoad(t *testing.T, srv *running, right func(*dns.Msg) error) (stop func() uint64) {
	var answers atomic.Uint64
	var wg sync.WaitGroup
	done := make(chan struct{})
	for _, c := range loadClients(t, srv) {
		wg.Go(func() {
			defer c.hangUp()
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				name := [...]string{"_dmarc.example.com.", "www.a.example."}[n%2]
				query, err := new(dns.Msg).SetQuestion(name, dns.TypeTXT).Pack()
				if err != nil {
					t.Error(err)
					return
				}
				query[0], query[1] = 0, 0
				answer, err := c.ask(query)
				m := new(dns.Msg)
				if err == nil {
					err = m.Unpack(answer)
				}
				if err == nil {
					err = right(m)
				}
				if err != nil {
					t.Errorf("%s: query %d: %v", c.name, n, err)
					return
				}
				answers.Add(1)
				if n%100 == 99 {
					c.hangUp()
				}
			}
		})
	}
	return func() uint64 {
		close(done)
		wg.Wait()
		return answers.Load()
	}
}

// TestReloadsUnderLoadLoseNothing reloads while every transport is asked as fast
// as one query after the other goes: settings and zones alternate, mistakes come
// between, and listeners come and go. Every query is answered by the old or the
// new one, and nothing is left behind.
func TestReloadsUnderLoadLoseNothing(t *testing.T) {
	reloads, every := 200, 100*time.Millisecond
	if testing.Short() {
		reloads = 20
	}
	srv := startAlternating(t)
	srv.alternate(t, 0)
	settle := reloadLoad(t, srv.running, rightAnswer)
	for i := range 5 {
		srv.alternate(t, i)
	}
	settle()
	before := srv.footprint()

	stop := reloadLoad(t, srv.running, rightAnswer)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i := range reloads {
		switch {
		case i%7 == 3:
			srv.mistake(t, i)
		case i%10 == 5:
			srv.burstAndRemove(t, i)
		default:
			srv.alternate(t, i)
		}
		<-tick.C
	}
	answers := stop()
	t.Logf("%d answers during %d reloads", answers, reloads)
	if drops := udpDrops(t, srv.running); drops > 0 {
		t.Errorf("the kernel dropped %d datagrams for want of room", drops)
	}
	srv.alternate(t, 0) // as it was
	after := awaitFootprint(t, srv.running, before)
	if grown := after.heapBytes - before.heapBytes; grown > before.heapBytes/4 {
		t.Errorf("the heap grew from %d by %d bytes", before.heapBytes, grown)
	}
	stopsInOrder(t, srv.running)
	for _, bug := range []string{"level=ERROR msg=\"panic", "DATA RACE", "did not close in order"} {
		if strings.Contains(srv.log.String(), bug) {
			t.Errorf("the log has %q", bug)
		}
	}
}

// TestReloadsKeepNothing reloads many zones often: what was in force before is
// given back.
func TestReloadsKeepNothing(t *testing.T) {
	const zones = 1000
	reloads := 50
	if testing.Short() {
		reloads = 10
	}
	srv := startAlternating(t)
	for i := range zones {
		text := zoneHead
		for n := range 20 {
			text += fmt.Sprintf("name-%d A 192.0.2.%d\n", n, n)
		}
		write(t, filepath.Join(srv.dir, "zones"), fmt.Sprintf("zone-%d.example.zone", i), text)
	}
	empty := srv.footprint()
	srv.alternate(t, 0)
	srv.alternate(t, 1)
	first := srv.footprint()
	if first.heapBytes < empty.heapBytes+zones*1000 {
		t.Fatalf("%d bytes with the zones, %d without: they are not there", first.heapBytes, empty.heapBytes)
	}
	for i := range reloads {
		srv.alternate(t, i)
	}
	last := awaitFootprint(t, srv.running, first)
	if grown := last.heapBytes - first.heapBytes; grown > first.heapBytes/10 {
		t.Errorf("the heap grew from %d by %d bytes in %d reloads", first.heapBytes, grown, reloads)
	}
	t.Logf("without zones %+v, after two reloads %+v, after %d more %+v", empty, first, reloads, last)
	stopsInOrder(t, srv.running)
}

// alternating is a server of two versions, each with settings and a zone.
type alternating struct{ *reloadable }

const alternatingSettings = `
nameservers: [{name: ns1.park.example}]
zones: zones
listen:
  udp: ["127.0.0.1:0"%[2]s]
  tcp: ["127.0.0.1:0"%[2]s]
  dot: ["127.0.0.1:0"%[2]s]
  doh: ["127.0.0.1:0"]
  doq: ["127.0.0.1:0"%[2]s]
  admin: []
parking: {dmarc: {rua: [version-%[1]d@park.example]}}
` + patientTimeouts + `
%[3]s
`

func startAlternating(t *testing.T) *alternating {
	t.Helper()
	a := &alternating{&reloadable{dir: t.TempDir()}}
	if err := os.Mkdir(filepath.Join(a.dir, "zones"), 0o755); err != nil {
		t.Fatal(err)
	}
	a.files(t, 0, "", "")
	a.running = start(t, "--config", filepath.Join(a.dir, "settings.yaml"))
	return a
}

// files writes settings and zone of version i%2.
func (a *alternating) files(t *testing.T, i int, address, more string) {
	t.Helper()
	a.write(t, "zones/a.example.zone", fmt.Sprintf("%swww TXT version-%d\n", zoneHead, i%2))
	a.write(t, "settings.yaml", fmt.Sprintf(alternatingSettings, i%2, address, more))
}

// rightAnswer tells what is wrong with an answer of both versions.
func rightAnswer(m *dns.Msg) error {
	if m.Rcode != dns.RcodeSuccess || len(m.Answer) != 1 {
		return errors.New(m.String())
	}
	txt, ok := m.Answer[0].(*dns.TXT)
	if !ok || !strings.Contains(strings.Join(txt.Txt, ""), "version-0") && !strings.Contains(strings.Join(txt.Txt, ""), "version-1") {
		return errors.New(m.String())
	}
	return nil
}

// alternate reloads, and sees that the answers are those of the new version.
func (a *alternating) alternate(t *testing.T, i int) {
	t.Helper()
	a.files(t, i, "", "")
	a.hup(t, "msg=reloaded cause=signal")
	a.expect(t, i)
}

func (a *alternating) hup(t *testing.T, until string) {
	t.Helper()
	a.signal(syscall.SIGHUP)
	a.await(until)
}

func (a *alternating) expect(t *testing.T, i int) {
	t.Helper()
	for _, name := range []string{"_dmarc.example.com.", "www.a.example."} {
		if got, want := ask(t, "udp", a.addr["udp"][0], name, dns.TypeTXT), fmt.Sprintf("version-%d", i%2); !strings.Contains(got, want) {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

// mistake reloads something broken, between two good versions. No good zone file
// of the other version is there meanwhile: the watch would take it up.
func (a *alternating) mistake(t *testing.T, i int) {
	t.Helper()
	a.alternate(t, i)
	more := ""
	switch i % 3 {
	case 0:
		more = "unknown: 1"
	case 1:
		more = "parking: {profile: missing.zone}"
	case 2:
		a.write(t, "zones/a.example.zone", "www TXT without-a-soa\n")
	}
	a.write(t, "settings.yaml", fmt.Sprintf(alternatingSettings, (i+1)%2, "", more))
	a.hup(t, `msg="reload failed: what runs stays as it was" cause=signal`)
	a.expect(t, i)
	a.files(t, i, "", "")
}

// burstAndRemove listens on another address, sends it queries and has it removed:
// they are answered all the same. Most are before it goes; that a socket which is
// closed is emptied first is for the tests of listeners to hold.
func (a *alternating) burstAndRemove(t *testing.T, i int) {
	t.Helper()
	const burst = 100
	a.files(t, i, `, "127.0.0.2:0"`, "")
	a.hup(t, "msg=reloaded cause=signal")
	var addr string
	for _, m := range listeningLine.FindAllStringSubmatch(a.log.String(), -1) {
		if m[1] == "udp" {
			addr = m[2] // the last one
		}
	}
	if !strings.HasPrefix(addr, "127.0.0.2:") {
		t.Fatalf("the last UDP listener is %s", addr)
	}
	conn := dialClosing(t, "udp", addr)
	defer conn.Close()
	for id := range burst {
		m := new(dns.Msg).SetQuestion("www.a.example.", dns.TypeTXT)
		m.Id = uint16(id)
		wire, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(wire); err != nil {
			t.Fatal(err)
		}
	}
	a.alternate(t, i)
	conn.SetReadDeadline(time.Now().Add(answerWithin))
	buf := make([]byte, dns.MaxMsgSize)
	for n := range burst {
		if _, err := conn.Read(buf); err != nil {
			t.Fatalf("%d of %d queries to a removed address were answered: %v", n, burst, err)
		}
	}
}

// udpDrops is how many datagrams the kernel dropped for the sockets of r.
func udpDrops(t *testing.T, r *running) (drops int) {
	t.Helper()
	var ports []string
	for _, transport := range []string{"udp", "doq", "doh3"} {
		for _, addr := range r.addr[transport] {
			_, port, err := net.SplitHostPort(addr)
			if err != nil {
				t.Fatal(err)
			}
			n, err := strconv.Atoi(port)
			if err != nil {
				t.Fatal(err)
			}
			ports = append(ports, fmt.Sprintf("0100007F:%04X", n))
		}
	}
	table, err := os.ReadFile("/proc/net/udp")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if len(fields) < 13 || !slices.Contains(ports, fields[1]) {
			continue
		}
		n, err := strconv.Atoi(fields[12])
		if err != nil {
			t.Fatal(err)
		}
		drops, found = drops+n, found+1
	}
	if found < len(ports) {
		t.Fatalf("%d of %d sockets in\n%s", found, len(ports), table)
	}
	return drops
}
