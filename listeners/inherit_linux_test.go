package listeners

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"domainpark/query"
)

// bound is a socket as a service manager binds it: it does not block.
func bound(t *testing.T, kind int, addr, name string) *os.File {
	t.Helper()
	var c syscall.Conn
	lc := net.ListenConfig{}
	if kind == unix.SOCK_STREAM {
		l, err := lc.Listen(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		c = l.(*net.TCPListener)
	} else {
		lc.Control = sharing
		l, err := lc.ListenPacket(t.Context(), "udp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		c = l.(*net.UDPConn)
	}
	var f *os.File
	if err := onDescriptor(c, func(fd int) error {
		own, err := duplicate(fd)
		f = os.NewFile(uintptr(own), name)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return f
}

func inherit(t *testing.T, files ...*os.File) *Inherited {
	t.Helper()
	i, err := Inherit(files)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, a := range i.addresses {
			_ = closeFDs(a.fds)
		}
	})
	return i
}

// inheriting is a Config for all that i has.
func inheriting(i *Inherited) Config {
	cfg := webConfig()
	cfg.Inherited, cfg.Workers = i, 3
	cfg.UDP, cfg.TCP, cfg.DoT, cfg.DoH, cfg.DoQ = i.Addresses("udp"), i.Addresses("tcp"), i.Addresses("dot"), i.Addresses("doh"), i.Addresses("doq")
	return cfg
}

// Servers follow one another on the same sockets, with pauses in which nobody
// serves: what is asked then waits, and nothing is lost.
func TestInheritedSocketsLoseNothing(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "0.0.0.0", "[::]"} {
		if host == "[::]" && !haveIPv6Loopback() {
			continue
		}
		t.Run(host, func(t *testing.T) {
			udp := bound(t, unix.SOCK_DGRAM, host+":0", "udp")
			again := bound(t, unix.SOCK_DGRAM, boundName(t, udp), "udp") // ReusePort=yes
			tcp := bound(t, unix.SOCK_STREAM, host+":0", "tcp")
			i := inherit(t, udp, again, tcp)
			reach := strings.NewReplacer("0.0.0.0", "127.0.0.1", "[::]", "127.0.0.1") // [::] takes both families here
			load := startPlainLoad(t, reach.Replace(i.Addresses("udp")[0]), reach.Replace(i.Addresses("tcp")[0]))
			for range 10 {
				s := start(t, inheriting(i), mirror)
				load.more()
				s.stop(t)
				if t.Failed() {
					break
				}
			}
			start(t, inheriting(i), mirror)
			load.more()
			load.stop()
		})
	}
}

func boundName(t *testing.T, f *os.File) string {
	t.Helper()
	addr, err := boundAddr(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return addr.String()
}

// A worker of an inherited socket ends at once, although nothing arrives and the
// socket is not shut down.
func TestInheritedSocketsStopAtOnce(t *testing.T) {
	i := inherit(t, bound(t, unix.SOCK_DGRAM, "127.0.0.1:0", "udp"))
	timeout := unix.NsecToTimeval(time.Hour.Nanoseconds()) // so that the socket's own does not end the wait
	for range 20 {
		s := start(t, inheriting(i), mirror)
		if err := unix.SetsockoptTimeval(i.addresses[0].fds[0], unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
			t.Fatal(err)
		}
		s.stop(t)
	}
}

// What waits in an inherited socket when a server ends is the next one's.
func TestInheritedSocketKeepsItsQueue(t *testing.T) {
	i := inherit(t, bound(t, unix.SOCK_DGRAM, "127.0.0.1:0", "udp"))
	c := dial(t, "udp", i.Addresses("udp")[0])
	for round := range uint16(3) {
		for id := range uint16(20) {
			write(t, c, testMessage(round<<8|id, 40))
		}
		cfg := inheriting(i)
		cfg.Workers = 1 // so that answers come in order
		s := start(t, cfg, mirror)
		for id := range uint16(20) {
			if got := receiveUDP(t, c); !bytes.Equal(got, answerTo(testMessage(round<<8|id, 40))) {
				t.Fatalf("got %x", got)
			}
		}
		s.stop(t)
	}
}

// The same of connections: a server that stops leaves them to the next one. A
// socket that goes with it would reset them.
func TestAcceptingEndsAtOnceOnInheritedSocketsAlone(t *testing.T) {
	i := inherit(t, bound(t, unix.SOCK_STREAM, "127.0.0.1:0", "tcp"), bound(t, unix.SOCK_STREAM, "127.0.0.1:0", "doh"))
	cfg := inheriting(i)
	cfg.Timeouts = Timeouts{}.withDefaults()
	for _, c := range []struct {
		transport, addr string
		want            time.Duration
	}{
		{"tcp", cfg.TCP[0], 0},
		{"tcp", "127.0.0.1:0", lastLook},
		{"doh", cfg.DoH[0], 0},
		{"doh", "127.0.0.1:0", lastLook},
	} {
		ln, err := openTCPSocket(&cfg, c.transport, netip.MustParseAddrPort(c.addr))
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		watched := &watchedDeadline{TCPListener: ln}
		var got time.Duration
		if c.transport == "doh" {
			got = lingeringIn(newDoH(ln, &cfg, &dohHandler{resolver: mirror, cfg: &cfg}).socket).accepts()
		} else {
			s := newStreams(watched, query.TCP, &cfg, mirror)
			s.drain()
			got = watched.set.Sub(s.drainedAt)
		}
		if got != c.want {
			t.Errorf("%s at %s is accepted from for %v after the stop, want %v", c.transport, c.addr, got, c.want)
		}
	}
}

// watchedDeadline is a listener that keeps the deadline of Accept.
type watchedDeadline struct {
	*net.TCPListener
	set time.Time
}

func (w *watchedDeadline) SetDeadline(t time.Time) error {
	w.set = t
	return w.TCPListener.SetDeadline(t)
}

func TestInheritedSocketsOfEncryptedTransports(t *testing.T) {
	doh := bound(t, unix.SOCK_STREAM, "127.0.0.1:0", "doh")
	i := inherit(t, doh, bound(t, unix.SOCK_DGRAM, boundName(t, doh), "doh"),
		bound(t, unix.SOCK_STREAM, "127.0.0.1:0", "dot"), bound(t, unix.SOCK_DGRAM, "127.0.0.1:0", "doq"),
		bound(t, unix.SOCK_STREAM, "127.0.0.1:0", "admin"))
	for range 3 {
		s := start(t, inheriting(i), mirror)
		var transports []string
		for _, b := range s.Bound() {
			transports = append(transports, b.Transport)
		}
		if want := []string{"dot", "doh", "doh3", "doq"}; !slices.Equal(transports, want) {
			t.Fatalf("bound %v, want %v", transports, want)
		}
		expectDoQAnswer(t, dialDoQ(t, s), testMessage(0, 40))
		c := s.dialStream(t, "dot")
		write(t, c, framed(testMessage(1, 40)))
		expectAnswer(t, c, testMessage(1, 40))
		s.stop(t)
	}
	admin, err := inheriting(i).Listen(i.Addresses("admin")[0])
	if err != nil || len(admin) != 1 {
		t.Fatalf("%v, %v", admin, err)
	}
	admin[0].Close()
}

func TestInheritSaysWhatIsWrong(t *testing.T) {
	stream := func(name string) *os.File { return bound(t, unix.SOCK_STREAM, "127.0.0.1:0", name) }
	datagram := func(name string) *os.File { return bound(t, unix.SOCK_DGRAM, "127.0.0.1:0", name) }
	made := func(family, kind int) *os.File {
		fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		return os.NewFile(uintptr(fd), "udp")
	}
	twice := stream("dot")
	second := os.NewFile(uintptr(must(duplicate(int(twice.Fd())))), "dot")
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	for want, files := range map[string][]*os.File{
		`named "domain-park.socket": want the name udp, tcp`:             {stream("domain-park.socket")},
		`socket 2, named "udp": want a socket for datagrams`:             {datagram("udp"), stream("udp")},
		`named "dot": want a socket for streams`:                         {datagram("dot")},
		`named "dot": there is another one of 127.0.0.1:`:                {twice, second},
		`there is no doh socket of this address`:                         {datagram("doh")},
		`named "udp": it is not bound to an address`:                     {made(unix.AF_INET, unix.SOCK_DGRAM)},
		`named "udp": want a socket of IPv4 or IPv6`:                     {made(unix.AF_UNIX, unix.SOCK_DGRAM)},
		fmt.Sprintf("named %q: it is no socket", file.Name()):            {file},
		`named "x": want the name udp, tcp, dot, doh, doh3, doq, http o`: {stream("x"), stream("tcp")},
	} {
		if _, err := Inherit(files); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if i, err := Inherit(nil); i != nil || err != nil || i.Has("udp") {
		t.Errorf("%v, %v without files", i, err)
	}
}

func must(fd int, err error) int {
	if err != nil {
		panic(err)
	}
	return fd
}
