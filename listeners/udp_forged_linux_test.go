package listeners

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// An answer to the unspecified address would go to a service of this machine.
func TestForgedUDPQueriesAreNotAnsweredToLoopback(t *testing.T) {
	raw := rawSocket(t)
	eachUDP(t, []string{"[::1]:0", "[::]:0"}, 1, mirror, func(t *testing.T, s *udpServer) {
		service := dial(t, "udp", s.on("::1")) // connected, so that it takes what comes from the server
		port, to := uint16(service.LocalAddr().(*net.UDPAddr).Port), uint16(s.port())
		forge(t, raw, netip.IPv6Unspecified(), port, to, testMessage(1, 40))
		forge(t, raw, netip.IPv6Loopback(), 0, to, testMessage(2, 40))
		forge(t, raw, netip.IPv6Loopback(), port, to, testMessage(3, 40))
		if id := binary.BigEndian.Uint16(receiveUDP(t, service)); id != 3 {
			t.Errorf("query %d was answered, want 3 alone", id)
		}
	})
}

func TestUDPWorkerResolvesNoQueryFromNobody(t *testing.T) {
	b := newWorkbench(t, "127.0.0.1:0", mirror)
	b.send(t, 3, testMessage(1, 40))
	n, errno := b.worker.in.receive(b.worker.fd, unix.MSG_DONTWAIT)
	if n != 3 || errno != 0 {
		t.Fatal(n, errno)
	}
	(*unix.RawSockaddrInet4)(unsafe.Pointer(&b.worker.in.clients[0])).Addr = [4]byte{}
	(*unix.RawSockaddrInet4)(unsafe.Pointer(&b.worker.in.clients[2])).Port = 0
	b.worker.resolve(n)
	if b.worker.out.n != 1 {
		t.Errorf("%d answers, want 1", b.worker.out.n)
	}
}

// rawSocket is one that sends IPv6 packets with the headers they come with.
func rawSocket(t *testing.T) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EAFNOSUPPORT) {
		t.Skip("no raw socket of IPv6: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// forge sends a datagram to a port of [::1] that says it is from another source.
func forge(t *testing.T, raw int, source netip.Addr, from, to uint16, message []byte) {
	t.Helper()
	loopback := netip.IPv6Loopback().As16()
	datagram := make([]byte, 8, 8+len(message))
	binary.BigEndian.PutUint16(datagram[0:], from)
	binary.BigEndian.PutUint16(datagram[2:], to)
	binary.BigEndian.PutUint16(datagram[4:], uint16(8+len(message)))
	datagram = append(datagram, message...)
	pseudo := append(append(source.AsSlice(), loopback[:]...), 0, 0, 0, byte(len(datagram)), 0, 0, 0, unix.IPPROTO_UDP)
	binary.BigEndian.PutUint16(datagram[6:], checksum(append(pseudo, datagram...)))

	packet := append([]byte{0x60, 0, 0, 0, 0, byte(len(datagram)), unix.IPPROTO_UDP, 64}, source.AsSlice()...)
	packet = append(append(packet, loopback[:]...), datagram...)
	if err := unix.Sendto(raw, packet, 0, &unix.SockaddrInet6{Addr: loopback}); err != nil {
		t.Fatal(err)
	}
}

// checksum is that of RFC 1071, of an even number of bytes.
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) > 0; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
