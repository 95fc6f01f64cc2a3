//go:build linux

package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	sockets = 64 // each a client of its own, which spreads them over the server's workers
	segment = 64 // queries to a system call: the most that UDP_SEGMENT takes (UDP_MAX_SEGMENTS before Linux 6.9)

	// settling is how long the server gets to answer what it still holds.
	settling = 300 * time.Millisecond
)

// measure offers rate queries a second for a while.
func measure(server netip.AddrPort, rate float64, each time.Duration) (*measurement, error) {
	var flooders [sockets]flooder
	for i := range flooders {
		f, err := newFlooder(server)
		if err != nil {
			return nil, err
		}
		defer unix.Close(f.fd)
		flooders[i] = f
	}
	probed := make(chan waits, 1)
	ended := make(chan struct{})
	go func() { probed <- probe(server, ended) }()

	sent := 0
	began := time.Now()
	for elapsed := time.Duration(0); elapsed < each; elapsed = time.Since(began) {
		if due := rate * elapsed.Seconds(); float64(sent) > due {
			time.Sleep(50 * time.Microsecond)
			continue
		}
		if err := flooders[sent/segment%sockets].send(); err != nil {
			return nil, err
		}
		sent += segment
	}
	took := time.Since(began)
	answered := answers(flooders[:])
	close(ended)
	m := &measurement{offered: float64(sent) / took.Seconds(), answered: float64(answered) / took.Seconds(), probe: <-probed}
	time.Sleep(settling)
	return m, nil
}

// flooder is a socket that sends queries and takes no answer.
type flooder struct {
	fd      int
	queries []byte // of one system call
	control []byte
}

func newFlooder(server netip.AddrPort) (f flooder, err error) {
	f.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return f, err
	}
	// The kernel counts each answer as dropped by this filter.
	none := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}
	if err = unix.SetsockoptSockFprog(f.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &none[0]}); err == nil {
		err = unix.Connect(f.fd, &unix.SockaddrInet4{Addr: server.Addr().As4(), Port: int(server.Port())})
	}
	if err != nil {
		unix.Close(f.fd)
		return f, fmt.Errorf("a socket to %s: %w", server, err)
	}
	size := 0
	for i := range segment {
		q := question(i)
		size = len(q)
		f.queries = append(f.queries, q...)
	}
	f.control = make([]byte, unix.CmsgSpace(2))
	head := (*unix.Cmsghdr)(unsafe.Pointer(&f.control[0]))
	head.Level, head.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
	head.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint16(f.control[unix.CmsgLen(0):], uint16(size))
	return f, nil
}

func (f *flooder) send() error {
	for {
		_, err := unix.SendmsgN(f.fd, f.queries, f.control, nil, 0)
		switch err {
		case unix.EINTR, unix.ENOBUFS, unix.EAGAIN:
			continue
		case unix.ECONNREFUSED:
			return fmt.Errorf("nobody listens there: %w", err)
		}
		return err
	}
}

// answers is how many have arrived so far.
func answers(flooders []flooder) (n uint64) {
	const drops = 8 // SK_MEMINFO_DROPS
	for i := range flooders {
		var info [drops + 1]uint32
		size := uint32(unsafe.Sizeof(info))
		unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(flooders[i].fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
		n += uint64(info[drops])
	}
	return n
}

// question asks for the SPF record of one of many domains, with EDNS. All
// questions are equally long.
func question(i int) []byte {
	m := []byte{byte(i >> 8), byte(i), 0, 0, 0, 1, 0, 0, 0, 0, 0, 1}
	for _, label := range []string{"www", fmt.Sprintf("parked-%04d", i), "com"} {
		m = append(append(m, byte(len(label))), label...)
	}
	m = append(m, 0, 0, 16, 0, 1)
	return append(m, 0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0)
}
