package listeners

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"domainpark/query"
)

// udpKinds are the ways to serve UDP that this system can run. On Linux both
// are tested, so that the portable one is.
var udpKinds = map[string]func(netip.AddrPort, *Config, Resolver) (listener, error){
	"system":   openUDP,
	"portable": openPortableUDP,
}

// udpServer is one UDP listener that serves.
type udpServer struct {
	listener
	cancel context.CancelFunc
	done   chan error
}

// eachUDP runs test for every kind and address, a server with workers behind
// each.
func eachUDP(t *testing.T, addrs []string, workers int, r Resolver, test func(*testing.T, *udpServer)) {
	t.Helper()
	for kind, open := range udpKinds {
		for _, addr := range addrs {
			t.Run(kind+"/"+addr, func(t *testing.T) {
				ap := netip.MustParseAddrPort(addr)
				if ap.Addr().Is6() && !haveIPv6Loopback() {
					t.Skip("no IPv6 here")
				}
				test(t, startUDP(t, open, ap, workers, r))
			})
		}
	}
}

func startUDP(t *testing.T, open func(netip.AddrPort, *Config, Resolver) (listener, error),
	addr netip.AddrPort, workers int, r Resolver) *udpServer {
	t.Helper()
	next := 0
	cfg := &Config{
		Workers:    workers,
		Timeouts:   Timeouts{}.withDefaults(),
		Log:        slog.New(slog.DiscardHandler),
		nextWorker: func() int { next++; return next - 1 },
	}
	l, err := open(addr, cfg, r)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &udpServer{l, cancel, make(chan error, 1)}
	go func() { s.done <- l.serve(ctx) }()
	t.Cleanup(func() { s.stop(t) })
	return s
}

func (s *udpServer) stop(t *testing.T) {
	t.Helper()
	s.cancel()
	select {
	case err := <-s.done:
		if err != nil {
			t.Errorf("serve: %v", err)
		}
		s.done <- nil
	case <-time.After(patience):
		t.Fatal("serve did not return")
	}
}

func (s *udpServer) port() int { return s.addr().(*net.UDPAddr).Port }

// on is the server's port on another of the addresses that it is bound to.
func (s *udpServer) on(ip string) string { return net.JoinHostPort(ip, fmt.Sprint(s.port())) }

// askUDP sends a message and returns what comes back. The socket is connected, so
// the kernel drops an answer that leaves from any other address.
func askUDP(t *testing.T, c net.Conn, message []byte) []byte {
	t.Helper()
	if _, err := c.Write(message); err != nil {
		t.Fatal(err)
	}
	return receiveUDP(t, c)
}

func receiveUDP(t *testing.T, c net.Conn) []byte {
	t.Helper()
	answer := make([]byte, 1<<16)
	n, err := c.Read(answer)
	if err != nil {
		t.Fatal(err)
	}
	return answer[:n]
}

func TestUDPAnswers(t *testing.T) {
	addrs := []string{"127.0.0.1:0", "[::1]:0"}
	eachUDP(t, addrs, 2, mirror, func(t *testing.T, s *udpServer) {
		c := dial(t, "udp", s.addr().String())
		for _, n := range []int{12, 13, 512, 1232, 4096} {
			if got, want := askUDP(t, c, testMessage(9, n)), answerTo(testMessage(9, n)); !bytes.Equal(got, want) {
				t.Errorf("%d bytes: got %x, want %x", n, got, want)
			}
		}
	})
}

func TestUDPQueryTellsItsClient(t *testing.T) {
	clients := make(chan query.Query, 1)
	tell := resolverFunc(func(dst []byte, q *query.Query) []byte {
		clients <- query.Query{Client: q.Client, Transport: q.Transport, Received: q.Received}
		return mirror(dst, q)
	})
	addrs := []string{"127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"}
	eachUDP(t, addrs, 1, tell, func(t *testing.T, s *udpServer) {
		host := "127.0.0.1"
		if s.addr().(*net.UDPAddr).IP.To4() == nil {
			host = "::1"
		}
		c := dial(t, "udp", s.on(host))
		before := time.Now()
		askUDP(t, c, testMessage(1, 12))
		q := <-clients
		if want := c.LocalAddr().(*net.UDPAddr).AddrPort(); q.Client != want {
			t.Errorf("client %v, want %v", q.Client, want)
		}
		if q.Transport != query.UDP || q.Received.Before(before) || q.Received.After(time.Now()) {
			t.Errorf("transport %v, received %v, want udp and the time between %v and now", q.Transport, q.Received, before)
		}
	})
}

// A wildcard socket's answer leaves, without further ado, from the address that
// the routes prefer. The connected client would never see it.
func TestUDPWildcardAnswersFromTheAddressAsked(t *testing.T) {
	for wildcard, own := range map[string][]string{
		"0.0.0.0:0": {"127.0.0.2", "127.0.0.1", "127.9.8.7"},
		"[::]:0":    append(globalIPv6(), "::1"),
	} {
		eachUDP(t, []string{wildcard}, 2, mirror, func(t *testing.T, s *udpServer) {
			client := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}
			if wildcard == "[::]:0" {
				client.IP = net.IPv6loopback
			}
			for _, ip := range own {
				c, err := net.DialUDP("udp", client, &net.UDPAddr{IP: net.ParseIP(ip), Port: s.port()})
				if err != nil {
					t.Skip("this system has no such loopback address: ", err)
				}
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(patience))
				if got := askUDP(t, c, testMessage(5, 20)); !bytes.Equal(got, answerTo(testMessage(5, 20))) {
					t.Errorf("%s: got %x", ip, got)
				}
			}
		})
	}
}

// globalIPv6 are the machine's own IPv6 addresses, to which packets take the
// loopback interface.
func globalIPv6() []string {
	var own []string
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() == nil && n.IP.IsGlobalUnicast() {
			own = append(own, n.IP.String())
		}
	}
	return own
}

func TestUDPSilenceAndOddSizes(t *testing.T) {
	eachUDP(t, []string{"127.0.0.1:0", "0.0.0.0:0"}, 1, mirror, func(t *testing.T, s *udpServer) {
		c := dial(t, "udp", s.on("127.0.0.1"))
		for _, silent := range [][]byte{{}, {1}, make([]byte, 11), answerTo(testMessage(1, 12))} {
			if _, err := c.Write(silent); err != nil {
				t.Fatal(err)
			}
		}
		// What is longer than a query can be is cut, and the next is not harmed.
		if got := askUDP(t, c, testMessage(2, 60000)); len(got) != queryBytes {
			t.Errorf("%d bytes came back, want %d", len(got), queryBytes)
		}
		if got := askUDP(t, c, testMessage(3, 12)); !bytes.Equal(got, answerTo(testMessage(3, 12))) {
			t.Errorf("got %x", got)
		}
	})
}

func TestUDPWorkersShareTheClients(t *testing.T) {
	var mu sync.Mutex
	seen := map[int]int{}
	r := resolverFunc(func(dst []byte, q *query.Query) []byte {
		mu.Lock()
		defer mu.Unlock()
		seen[q.Worker]++
		return mirror(dst, q)
	})
	const workers, clients = 4, 64 // all clients with one worker: 1 in 4^63
	s := start(t, Config{UDP: []string{"127.0.0.1:0"}, Workers: workers}, r)
	for range clients {
		askUDP(t, dial(t, "udp", s.addrOf(t, "udp")), testMessage(1, 12))
	}
	mu.Lock()
	defer mu.Unlock()
	for worker := range seen {
		if worker < 0 || worker >= workers {
			t.Errorf("worker %d, want 0 to %d", worker, workers-1)
		}
	}
	if len(seen) < 2 {
		t.Errorf("all clients went to the workers %v", seen)
	}
}
