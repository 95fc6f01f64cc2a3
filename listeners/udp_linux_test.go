package listeners

import (
	"log/slog"
	"maps"
	"net/netip"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// workbench is one worker that a test drives round by round, with a connected
// client whose system calls allocate nothing either.
type workbench struct {
	worker *udpWorker
	client int
	buf    [2048]byte
}

func newWorkbench(t testing.TB, addr string, r Resolver) *workbench {
	t.Helper()
	cfg := &Config{Workers: 1, Timeouts: Timeouts{}.withDefaults(), Log: slog.Default(), nextWorker: func() int { return 0 }}
	l, err := openUDP(netip.MustParseAddrPort(addr), cfg, &guard{resolver: r, log: cfg.Log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.close() })
	g := l.(*udpGroup)
	to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), g.address.Port())
	client, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(client) })
	if err := setOption(client, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBufferBytes); err != nil {
		t.Fatal(err)
	}
	timeout := unix.NsecToTimeval(patience.Nanoseconds())
	if err := unix.SetsockoptTimeval(client, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		t.Fatal(err)
	}
	if err := unix.Connect(client, sockaddr(to)); err != nil {
		t.Fatal(err)
	}
	return &workbench{worker: g.workers[0], client: client}
}

// send puts n queries into the worker's socket.
func (b *workbench) send(t testing.TB, n int, message []byte) {
	for range n {
		if _, err := unix.Write(b.client, message); err != nil {
			t.Fatal(err)
		}
	}
}

// receive takes n answers.
func (b *workbench) receive(t testing.TB, n int) {
	for range n {
		if _, err := unix.Read(b.client, b.buf[:]); err != nil {
			t.Fatal(err)
		}
	}
}

func (b *workbench) round(t testing.TB) {
	if err := b.worker.round(unix.MSG_WAITFORONE); err != nil {
		t.Fatal(err)
	}
}

func TestUDPWorkerAllocatesNothing(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	for _, addr := range []string{"127.0.0.1:0", "0.0.0.0:0"} {
		b := newWorkbench(t, addr, mirror)
		message := testMessage(1, 40)
		allocs := testing.AllocsPerRun(200, func() {
			b.send(t, batch, message)
			b.round(t)
			b.receive(t, batch)
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations for a batch, want none", addr, allocs)
		}
	}
}

func TestPanicCostsThatQueryOfABatchOnly(t *testing.T) {
	b := newWorkbench(t, "127.0.0.1:0", faulty)
	b.worker.guard.log = slog.New(slog.DiscardHandler)
	for i, size := range []int{12, 13, 12, 13, 13, 14, 13} { // faulty panics at 13
		b.send(t, 1, testMessage(uint16(i), size))
	}
	b.round(t)
	answered := map[uint16]bool{}
	for range 3 {
		b.receive(t, 1)
		answered[uint16(b.buf[0])<<8|uint16(b.buf[1])] = true
	}
	if want := map[uint16]bool{0: true, 2: true, 5: true}; !maps.Equal(answered, want) {
		t.Errorf("answers to the queries %v, want %v", answered, want)
	}
	if got := b.worker.guard.panics.Load(); got != 4 {
		t.Errorf("%d panics, want 4", got)
	}
}

// A shutdown wakes a reader of an unconnected UDP socket, whatever it returns;
// the wake-up is not taken for a datagram. A worker that has answered waits, in most
// of the rounds.
func TestUDPShutdownWakesAWorker(t *testing.T) {
	for range 20 {
		b := newWorkbench(t, "127.0.0.1:0", mirror)
		timeout := unix.NsecToTimeval(time.Hour.Nanoseconds()) // so that only the shutdown can end the wait
		if err := unix.SetsockoptTimeval(b.worker.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- b.worker.run() }()
		b.send(t, 1, testMessage(1, 40))
		b.receive(t, 1)
		b.worker.group.stop()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(patience):
			t.Fatal("the shutdown does not wake the worker")
		}
	}
}

func TestUDPFilterKeepsWhatTheSocketHolds(t *testing.T) {
	b := newWorkbench(t, "127.0.0.1:0", mirror)
	b.send(t, 3, testMessage(1, 12))
	if err := refuseMore(b.worker.fd); err != nil {
		t.Fatal(err)
	}
	_, _ = unix.Write(b.client, testMessage(2, 12))
	b.round(t)
	b.receive(t, 3)
	if err := b.worker.round(unix.MSG_DONTWAIT); err != errNothing {
		t.Errorf("%v, want no datagram behind the filter", err)
	}
}

func TestUDPSocketOptions(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"} {
		ap := netip.MustParseAddrPort(addr)
		if ap.Addr().Is6() && !haveIPv6Loopback() {
			continue
		}
		fd, err := udpSocket(ap, false)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		for _, o := range []struct {
			name          string
			ipv4, ipv6    bool
			level, option int
			want          int
		}{
			{"IP_MTU_DISCOVER", true, false, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_OMIT},
			{"IPV6_MTU_DISCOVER", false, true, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_OMIT},
			{"IPV6_V6ONLY", false, true, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1},
			{"SO_REUSEPORT", true, true, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1},
			{"IP_PKTINFO", true, false, unix.IPPROTO_IP, unix.IP_PKTINFO, wildcardOnly(ap)},
			{"IPV6_RECVPKTINFO", false, true, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, wildcardOnly(ap)},
		} {
			if ap.Addr().Is4() && !o.ipv4 || ap.Addr().Is6() && !o.ipv6 {
				continue
			}
			if got, err := unix.GetsockoptInt(fd, o.level, o.option); err != nil || got != o.want {
				t.Errorf("%s: %s is %d, %v; want %d", addr, o.name, got, err, o.want)
			}
		}
	}
}

func wildcardOnly(ap netip.AddrPort) int {
	if ap.Addr().IsUnspecified() {
		return 1
	}
	return 0
}

func TestClientOf(t *testing.T) {
	const port = 0x1234
	var sa unix.RawSockaddrInet6
	sa4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(&sa))
	sa4.Family, sa4.Addr = unix.AF_INET, [4]byte{192, 0, 2, 1}
	*(*[2]byte)(unsafe.Pointer(&sa4.Port)) = [2]byte{port >> 8, port & 0xff}
	if got, ok := clientOf(&sa); !ok || got != netip.MustParseAddrPort("192.0.2.1:4660") {
		t.Errorf("IPv4: %v, %v", got, ok)
	}
	sa.Family = unix.AF_INET6
	for text, want := range map[string]string{
		"2001:db8::1":      "[2001:db8::1]:4660",
		"::ffff:192.0.2.1": "192.0.2.1:4660",
	} {
		sa.Addr = netip.MustParseAddr(text).As16()
		if got, ok := clientOf(&sa); !ok || got != netip.MustParseAddrPort(want) {
			t.Errorf("%s: %v, %v; want %s", text, got, ok, want)
		}
	}
	sa.Family = unix.AF_UNIX
	if got, ok := clientOf(&sa); ok {
		t.Errorf("another family: %v", got)
	}
}

func TestControlTurn(t *testing.T) {
	var c control
	head := (*unix.Cmsghdr)(unsafe.Pointer(&c))
	info4 := (*unix.Inet4Pktinfo)(unsafe.Add(unsafe.Pointer(&c), unix.CmsgLen(0)))
	info6 := (*unix.Inet6Pktinfo)(unsafe.Add(unsafe.Pointer(&c), unix.CmsgLen(0)))

	head.Level, head.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
	*info4 = unix.Inet4Pktinfo{Ifindex: 7, Spec_dst: [4]byte{192, 0, 2, 1}, Addr: [4]byte{192, 0, 2, 1}}
	if n := c.turn(unix.CmsgSpace(unix.SizeofInet4Pktinfo)); n == 0 || info4.Ifindex != 0 || info4.Spec_dst[3] != 1 {
		t.Errorf("IPv4: %d bytes, %+v", n, info4)
	}
	if n := c.turn(0); n != 0 {
		t.Errorf("no control message: %d bytes", n)
	}
	head.Level, head.Type = unix.IPPROTO_IPV6, unix.IPV6_PKTINFO
	for text, keep := range map[string]bool{"2001:db8::1": false, "fe80::1": true, "febf::1": true, "fec0::1": false} {
		*info6 = unix.Inet6Pktinfo{Addr: netip.MustParseAddr(text).As16(), Ifindex: 7}
		n := c.turn(unix.CmsgSpace(unix.SizeofInet6Pktinfo))
		if n == 0 || (info6.Ifindex == 7) != keep {
			t.Errorf("%s: %d bytes, interface %d, want it kept: %v", text, n, info6.Ifindex, keep)
		}
	}
	head.Type = unix.IPV6_HOPLIMIT
	if n := c.turn(controlBytes); n != 0 {
		t.Errorf("another control message: %d bytes", n)
	}
}

func TestProcAddress(t *testing.T) {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("the texts below are from little-endian machines")
	}
	for text, want := range map[string]string{
		"3500007F:0035":                         "127.0.0.53:53",
		"00000000:26E1":                         "0.0.0.0:9953",
		"00000000000000000000000001000000:0035": "[::1]:53",
		"B80D0120000000000000000001000000:0035": "[2001:db8::1]:53",
	} {
		if got, ok := parseProcAddr(text); !ok || got != netip.MustParseAddrPort(want) {
			t.Errorf("%s: %v, %v; want %s", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "local_address", "7F:1", "0100007F:x"} {
		if got, ok := parseProcAddr(text); ok {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestOverlap(t *testing.T) {
	for _, c := range []struct {
		held, addr string
		want       bool
	}{
		{"127.0.0.53:53", "127.0.0.53:53", true},
		{"127.0.0.53:53", "0.0.0.0:53", true},
		{"0.0.0.0:53", "127.0.0.1:53", true},
		{"[::]:53", "127.0.0.1:53", true},
		{"[::ffff:127.0.0.1]:53", "127.0.0.1:53", true},
		{"[::1]:53", "[::]:53", true},
		{"127.0.0.53:53", "127.0.0.1:53", false},
		{"127.0.0.1:53", "127.0.0.1:54", false},
		{"0.0.0.0:53", "[::1]:53", false},
		{"127.0.0.1:53", "[::]:53", false},
	} {
		if got := overlap(netip.MustParseAddrPort(c.held), netip.MustParseAddrPort(c.addr)); got != c.want {
			t.Errorf("%s in the way of %s: %v, want %v", c.held, c.addr, got, c.want)
		}
	}
}

// BenchmarkUDP tells what the server's side of one datagram costs: receive,
// resolve (a copy) and send, in batches of one and of 64.
func BenchmarkUDP(b *testing.B) {
	for name, n := range map[string]int{"batch=1": 1, "batch=64": batch} {
		for _, addr := range []string{"127.0.0.1:0", "0.0.0.0:0"} {
			b.Run(name+"/"+addr, func(b *testing.B) {
				bench := newWorkbench(b, addr, mirror)
				message := testMessage(1, 40)
				var spent time.Duration
				b.ReportAllocs()
				b.ResetTimer()
				for answered := 0; answered < b.N; answered += n {
					bench.send(b, n, message)
					begin := time.Now()
					bench.round(b)
					spent += time.Since(begin)
					bench.receive(b, n)
				}
				b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N), "ns/answer")
			})
		}
	}
}
