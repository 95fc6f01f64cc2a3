//go:build linux

package main

import (
	"net"
	"net/netip"
	"slices"
	"time"
)

const (
	probeEvery = 2 * time.Millisecond
	probeWaits = 200 * time.Millisecond // then the query counts as lost
)

// waits are how long an honest client waited for its answers, and how many
// never came.
type waits struct {
	times []time.Duration
	lost  int
}

// probe asks one question after another until ended is closed.
func probe(server netip.AddrPort, ended <-chan struct{}) (w waits) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(server))
	if err != nil {
		return w
	}
	defer conn.Close()
	b := make([]byte, 2048)
	for i := 0; ; i++ {
		select {
		case <-ended:
			return w
		default:
		}
		q := question(i % 10_000)
		began := time.Now()
		conn.SetReadDeadline(began.Add(probeWaits))
		if _, err := conn.Write(q); err != nil {
			w.lost++
			continue
		}
		for {
			n, err := conn.Read(b)
			if err != nil {
				w.lost++
				break
			}
			if n > 2 && b[0] == q[0] && b[1] == q[1] { // not a late one
				w.times = append(w.times, time.Since(began))
				time.Sleep(probeEvery)
				break
			}
		}
	}
}

// quantile is the time within which that share of the answers came.
func (w *waits) quantile(share float64) time.Duration {
	if len(w.times) == 0 {
		return 0
	}
	slices.Sort(w.times)
	return w.times[int(share*float64(len(w.times)-1))].Round(10 * time.Microsecond)
}
