//go:build linux

// Overload offers a name server on this machine more UDP queries than it can
// answer, and tells what it makes of them: how many it answers, compared with
// the most it answered at any rate, and how long a single client waits.
//
//	GOMAXPROCS=1 taskset -c 0 domain-park --config settings.yaml &
//	GOMAXPROCS=2 taskset -c 1 go run ./bench/overload -server 127.0.0.1:9953
//
// The load is open-loop: what is sent doesn't depend on what comes back, as in
// a flood. It costs this side little enough that one core offers another one
// several times what it can answer: queries leave 64 to a system call
// (UDP_SEGMENT, udp(7)), and answers are counted by the kernel and thrown away.
//
// On loopback the sender's core also does the receiver's part of the kernel's
// work. To let the server's core do it, as with a network card of one queue,
// run both in a network namespace, as root:
//
//	unshare -n -m sh -c 'mount -t sysfs sys /sys; ip link set lo up
//		echo 1 > /sys/class/net/lo/queues/rx-0/rps_cpus; …'
//
// Only loopback addresses are taken, and a run ends after a minute.
package main

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"time"
)

func main() {
	server := flag.String("server", "127.0.0.1:9953", "IPv4 loopback address and port of the server")
	seconds := flag.Float64("seconds", 1, "how long each rate is offered, at most 2")
	least := flag.Int("least", 50_000, "queries a second to begin with")
	flag.Parse()
	to, err := netip.ParseAddrPort(*server)
	if err == nil && (!to.Addr().Is4() || !to.Addr().IsLoopback()) {
		err = fmt.Errorf("-server %s: expected an address of 127.0.0.0/8", to)
	}
	if err == nil && (*seconds <= 0 || *seconds > 2 || *least <= 0) {
		err = fmt.Errorf("-seconds and -least: expected more than 0, and 2 seconds at most")
	}
	if err == nil {
		err = run(to, time.Duration(*seconds*float64(time.Second)), *least)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// The rates that are offered: each a quarter more than the one before, until
// the server can't follow any more; then multiples of the most it answered.
const (
	step     = 1.25
	maxSteps = 16
	follows  = 0.8 // of what is offered
)

var multiples = []float64{1, 1.5, 2, 3, 4}

func run(server netip.AddrPort, each time.Duration, least int) error {
	fmt.Println("  offered/s answered/s  of the peak  wait: median     p95   unanswered of")
	peak, beyond := 0.0, 0
	for rate, i := float64(least), 0; i < maxSteps && beyond < 2; rate, i = rate*step, i+1 {
		m, err := measure(server, rate, each)
		if err != nil {
			return err
		}
		peak = max(peak, m.answered)
		if m.answered < follows*m.offered {
			beyond++
		}
		m.print(peak)
	}
	fmt.Printf("the peak is %.0f answers a second\n", peak)
	for _, by := range multiples {
		m, err := measure(server, peak*by, each)
		if err != nil {
			return err
		}
		m.print(peak)
	}
	return nil
}

// measurement is what became of one rate. Rates are a second.
type measurement struct {
	offered, answered float64
	probe             waits
}

func (m *measurement) print(peak float64) {
	fmt.Printf("%11.0f %10.0f %11.0f%% %13s %7s %8d %4d\n", m.offered, m.answered, 100*m.answered/peak,
		m.probe.quantile(0.5), m.probe.quantile(0.95), m.probe.lost, m.probe.lost+len(m.probe.times))
}
