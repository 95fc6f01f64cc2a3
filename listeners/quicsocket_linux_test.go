package listeners

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// openQUICSocket opens one on the loopback; network is udp4, udp6, or udp for
// one that takes both.
func openQUICSocket(t *testing.T, network string) *quicSocket {
	t.Helper()
	ip := map[string]net.IP{"udp4": net.IPv4(127, 0, 0, 1), "udp6": net.IPv6loopback, "udp": net.IPv6unspecified}[network]
	conn, err := net.ListenUDP(network, &net.UDPAddr{IP: ip})
	if err != nil {
		t.Skip("no such socket here: ", err)
	}
	t.Cleanup(func() { conn.Close() })
	s, ok := quicSocketOf(conn).(*quicSocket)
	if !ok {
		t.Fatal("not a socket of ours")
	}
	return s
}

// batchOf is what quic-go reads into.
func batchOf(n int) []ipv4.Message {
	messages := make([]ipv4.Message, n)
	for i := range messages {
		messages[i].Buffers, messages[i].OOB = [][]byte{make([]byte, 1452)}, make([]byte, 128)
	}
	return messages
}

// TestQUICSocketMovesDatagrams sends from clients of both families to each kind
// of socket, and back to the addresses that the socket tells.
func TestQUICSocketMovesDatagrams(t *testing.T) {
	for _, c := range []struct{ network, client string }{
		{"udp4", "127.0.0.1"}, {"udp6", "::1"}, {"udp", "127.0.0.1"}, {"udp", "::1"},
	} {
		t.Run(c.network+" "+c.client, func(t *testing.T) {
			s := openQUICSocket(t, c.network)
			server := netip.AddrPortFrom(netip.MustParseAddr(c.client), localPort(s.LocalAddr()))
			var clients []*net.UDPConn
			for i := range 3 {
				client, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(server))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { client.Close() })
				clients = append(clients, client)
				if _, err := client.Write([]byte{byte(i), 1, 2, 3}); err != nil {
					t.Fatal(err)
				}
			}
			messages := batchOf(8)
			for i := 0; i < len(clients); {
				n, err := s.ReadBatch(messages, 0)
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range messages[:n] {
					if got, want := addrOf(m.Addr), addrOf(clients[i].LocalAddr()); got != want || !bytes.Equal(m.Buffers[0][:m.N], []byte{byte(i), 1, 2, 3}) {
						t.Fatalf("got % x from %s, want number %d from %s", m.Buffers[0][:m.N], got, i, want)
					}
					answer := []byte{9, byte(i)}
					if n, _, err := s.WriteMsgUDP(answer, nil, m.Addr.(*net.UDPAddr)); n != len(answer) || err != nil {
						t.Fatal(n, err)
					}
					back := make([]byte, 16)
					if n, err := clients[i].Read(back); err != nil || !bytes.Equal(back[:n], answer) {
						t.Fatalf("got % x, %v, want % x", back[:n], err, answer)
					}
					i++
				}
			}
		})
	}
}

func TestQUICSocketCarriesControlMessages(t *testing.T) {
	from, to := openQUICSocket(t, "udp4"), openQUICSocket(t, "udp4")
	if err := to.conn.Control(func(fd uintptr) {
		if err := unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_RECVTOS, 1); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	const congested = 3 // RFC 3168 §5
	tos := make([]byte, unix.CmsgSpace(4))
	head := (*unix.Cmsghdr)(unsafe.Pointer(&tos[0]))
	head.Level, head.Type = unix.IPPROTO_IP, unix.IP_TOS
	head.SetLen(unix.CmsgLen(4))
	binary.NativeEndian.PutUint32(tos[unix.CmsgLen(0):], congested)
	if _, n, err := from.WriteMsgUDP([]byte("x"), tos, to.LocalAddr().(*net.UDPAddr)); n != len(tos) || err != nil {
		t.Fatal(n, err)
	}
	messages := batchOf(1)
	if n, err := to.ReadBatch(messages, 0); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	controls, err := unix.ParseSocketControlMessage(messages[0].OOB[:messages[0].NN])
	if err != nil || len(controls) != 1 || controls[0].Data[0] != congested {
		t.Errorf("got %v, %v, want the TOS that was sent", controls, err)
	}
}

// TestQUICSocketErrorsAreThoseOfNet holds it to what quic-go looks for.
func TestQUICSocketErrorsAreThoseOfNet(t *testing.T) {
	s := openQUICSocket(t, "udp4")
	own := s.LocalAddr().(*net.UDPAddr)
	if _, _, err := s.WriteMsgUDP(make([]byte, 70_000), nil, own); !errors.Is(err, unix.EMSGSIZE) {
		t.Errorf("a datagram that is too long: got %v", err)
	}
	if _, _, err := s.WriteMsgUDP([]byte("x"), nil, &net.UDPAddr{IP: net.IPv6loopback, Port: 53}); err == nil {
		t.Error("a client of the other family: no error")
	}
	if err := s.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	_, err := s.ReadBatch(batchOf(8), 0)
	if timeout, ok := errors.AsType[net.Error](err); !errors.Is(err, os.ErrDeadlineExceeded) || !ok || !timeout.Timeout() {
		t.Errorf("a deadline that has passed: got %v", err)
	}
	s.Close()
	if _, err := s.ReadBatch(batchOf(8), 0); !errors.Is(err, net.ErrClosed) {
		t.Errorf("reading from a closed socket: got %v", err)
	}
	if _, _, err := s.WriteMsgUDP([]byte("x"), nil, own); !errors.Is(err, net.ErrClosed) {
		t.Errorf("writing to a closed socket: got %v", err)
	}
}

func TestQUICSocketKeepsTheZoneOfLinkLocalClients(t *testing.T) {
	a := udpAddr(&unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: netip.MustParseAddr("fe80::1").As16(), Scope_id: 2})
	if a.Zone != "2" {
		t.Errorf("got %s, want zone 2", a)
	}
}

func TestQUICSocketSendsWithoutAllocations(t *testing.T) {
	s := openQUICSocket(t, "udp4")
	p, own := make([]byte, 1200), s.LocalAddr().(*net.UDPAddr)
	if n := testing.AllocsPerRun(100, func() {
		if _, _, err := s.WriteMsgUDP(p, nil, own); err != nil {
			t.Fatal(err)
		}
	}); n >= 1 {
		t.Errorf("%v allocations for a datagram", n)
	}
}
