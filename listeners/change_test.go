package listeners

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// everywhere is a Config with a free port for each transport.
func everywhere() Config {
	cfg := webConfig()
	here := []string{"127.0.0.1:0"}
	cfg.UDP, cfg.TCP, cfg.DoT, cfg.DoH, cfg.DoQ, cfg.HTTP = here, here, here, here, here, here
	cfg.HTTPHandler = http.NotFoundHandler()
	return cfg
}

// change applies cfg to s.
func (s *running) change(t *testing.T, cfg Config) *Change {
	t.Helper()
	c, err := s.Prepare(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.Apply()
	return c
}

func boundNames(bound []Bound) string {
	var names []string
	for _, b := range bound {
		names = append(names, b.Transport)
	}
	return strings.Join(names, " ")
}

func TestChangeKeepsSocketsThatStay(t *testing.T) {
	cfg := everywhere()
	s := start(t, cfg, mirror)
	before := s.Bound()
	c := s.change(t, cfg)
	if len(c.Added())+len(c.Removed()) > 0 || !slices.EqualFunc(before, s.Bound(), func(a, b Bound) bool {
		return a.Transport == b.Transport && a.Addr.String() == b.Addr.String()
	}) {
		t.Errorf("bound to %v, then to %v", before, s.Bound())
	}
}

// A connection that was open before stays so on an address that stays, and is
// drained on one that goes.
func TestChangeAddsAndRemovesListeners(t *testing.T) {
	cfg := everywhere()
	s := start(t, cfg, mirror)
	gone := s.addrOf(t, "tcp")
	stays := dial(t, "tcp", s.addrOf(t, "tcp"))
	exchangeFramed(t, stays)

	cfg.TCP = append(cfg.TCP, "127.0.0.2:0")
	cfg.DoT, cfg.DoH, cfg.DoQ, cfg.HTTP = nil, nil, nil, nil
	c := s.change(t, cfg)
	if added, removed := boundNames(c.Added()), boundNames(c.Removed()); added != "tcp" || removed != "dot doh doh3 doq http" {
		t.Errorf("added %q, removed %q", added, removed)
	}
	if got := boundNames(s.Bound()); got != "udp tcp tcp" {
		t.Errorf("bound to %q", got)
	}
	exchangeFramed(t, stays)
	fresh := dial(t, "tcp", s.Bound()[2].Addr.String())
	exchangeFramed(t, fresh)

	cfg.TCP = cfg.TCP[1:]
	s.change(t, cfg)
	exchangeFramed(t, fresh)
	if _, err := readFrame(stays); err == nil {
		t.Error("a connection to an address that was removed stays open")
	}
	settled(t, "removed listeners", 0, func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.draining)
	})
	if c, err := net.Dial("tcp", gone); err == nil {
		c.Close()
		t.Errorf("%s still accepts connections", gone)
	}
}

// exchangeFramed sends a message over a stream and wants its answer.
func exchangeFramed(t *testing.T, c net.Conn) {
	t.Helper()
	message := testMessage(1, headerBytes)
	if _, err := c.Write(framed(message)); err != nil {
		t.Fatal(err)
	}
	answer, err := readFrame(c)
	if err != nil || string(answer) != string(answerTo(message)) {
		t.Fatalf("got %x, %v", answer, err)
	}
}

// What can't be bound refuses the whole change, and leaves nothing behind.
func TestChangeThatFailsChangesNothing(t *testing.T) {
	cfg := everywhere()
	s := start(t, cfg, mirror)
	before, open := s.Bound(), descriptors()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for range 3 {
		bad := cfg
		bad.UDP = []string{"127.0.0.3:0"}
		bad.DoT = append(bad.DoT, taken.Addr().String())
		bad.TCP = []string{"127.0.0.1:0", "198.51.100.7:53"}
		_, err := s.Prepare(bad)
		if err == nil || !strings.Contains(err.Error(), "listen dot "+taken.Addr().String()) || !strings.Contains(err.Error(), "listen tcp 198.51.100.7:53") {
			t.Fatalf("got %v", err)
		}
	}
	if fmt.Sprint(before) != fmt.Sprint(s.Bound()) {
		t.Errorf("bound to %v, then to %v", before, s.Bound())
	}
	settled(t, "descriptors", open+1, descriptors)
}

// An old listener is closed after the new ones are bound, so it can be in their
// way. The operator is told.
func TestChangeToAnOverlappingAddressSaysWhatToDo(t *testing.T) {
	free := freePort(t)
	cfg := webConfig()
	cfg.TCP = []string{fmt.Sprintf("0.0.0.0:%d", free)}
	s := start(t, cfg, mirror)
	cfg.TCP, cfg.DoT = nil, []string{fmt.Sprintf("127.0.0.1:%d", free)}
	_, err := s.Prepare(cfg)
	want := fmt.Sprintf("listen tcp 0.0.0.0:%d: it would be removed, and is kept until dot 127.0.0.1:%[1]d is bound, which overlaps with it; hint: restart", free)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

// freePort is a port that nobody has at this moment, and that no outgoing
// connection gets.
func freePort(t *testing.T) int {
	t.Helper()
	udp := takenUDP(t)
	defer udp.Close()
	return udp.LocalAddr().(*net.UDPAddr).Port
}

// An address comes back as soon as what was open on it has drained.
func TestChangeBringsAnAddressBack(t *testing.T) {
	port := freePort(t)
	for _, transport := range []string{"udp", "tcp", "dot", "doh", "doq"} {
		t.Run(transport, func(t *testing.T) {
			without := webConfig()
			without.UDP = []string{"127.0.0.2:0"}
			with := without
			addrs := []string{fmt.Sprintf("127.0.0.1:%d", port)}
			switch transport {
			case "udp":
				with.UDP = append(addrs, with.UDP...)
			case "tcp":
				with.TCP = addrs
			case "dot":
				with.DoT = addrs
			case "doh":
				with.DoH = addrs
			case "doq":
				with.DoQ = addrs
			}
			s := start(t, with, mirror)
			for range 5 {
				s.change(t, without)
				s.change(t, with)
			}
			if s.addrOf(t, transport) != addrs[0] {
				t.Errorf("bound to %v", s.Bound())
			}
		})
	}
}

// Timeouts and the page that a change brings hold on the sockets that stay.
func TestChangeOfTimeoutsHoldsForOldListeners(t *testing.T) {
	cfg := everywhere()
	s := start(t, cfg, mirror)
	tcp := s.addrOf(t, "tcp")
	cfg.Timeouts.Message = 50 * time.Millisecond
	s.change(t, cfg)
	c := dial(t, "tcp", tcp)
	if _, err := c.Write([]byte{0}); err != nil {
		t.Fatal(err)
	}
	if _, err := readFrame(c); err == nil || isTimeout(err) {
		t.Errorf("a stalled message ended with %v: the new timeout does not hold", err)
	}
}

// Under a change of listeners every datagram is answered, also those that the
// removed socket holds.
func TestChangeUnderLoadLosesNoDatagram(t *testing.T) {
	cfg := webConfig()
	cfg.UDP = []string{"127.0.0.1:0", "127.0.0.2:0"}
	other := cfg
	other.UDP = cfg.UDP[:1]
	s := start(t, cfg, mirror)
	c := dial(t, "udp", s.addrOf(t, "udp"))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 20 {
			s.change(t, other)
			s.change(t, cfg)
		}
	}()
	buf := make([]byte, 512)
	for id := uint16(0); ; id++ {
		select {
		case <-done:
			return
		default:
		}
		message := testMessage(id, headerBytes)
		if _, err := c.Write(message); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(buf); err != nil || string(buf[:n]) != string(answerTo(message)) {
			t.Fatalf("query %d: got %x, %v", id, buf[:n], err)
		}
	}
}

func TestChangeAfterTheEndIsGivenUp(t *testing.T) {
	cfg := everywhere()
	open := descriptors()
	s := start(t, cfg, mirror)
	more := cfg
	more.TCP = append(more.TCP, "127.0.0.2:0")
	c, err := s.Prepare(more)
	if err != nil {
		t.Fatal(err)
	}
	s.stop(t)
	c.Apply()
	settled(t, "descriptors", open, descriptors)
}
