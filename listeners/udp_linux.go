package listeners

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// udpGroup is one UDP address on Linux: a socket and a thread for each worker.
// The kernel spreads clients over the sockets by address and port, so workers
// share nothing.
//
// The descriptors block and stay outside the runtime's poller: registering them
// would make every datagram wake epoll, a quarter of the throughput.
//
// Nothing else paid where it was measured: two workers beside two generators in a
// network namespace on two CPUs, medians of three rounds. An answer took 4.23 us as
// it is (4.16 with one worker), 4.55 with each thread pinned to a CPU, 4.44 with
// SO_INCOMING_CPU as well, 4.28 pinned with a BPF program that chooses the socket of
// the CPU that received, and 4.33 with SO_BUSY_POLL. What chooses by the CPU would also
// leave all the work to one worker behind a network card with one queue.
type udpGroup struct {
	address   netip.AddrPort
	inherited bool // the sockets outlive the process: what they hold is the next one's
	workers   []*udpWorker
	working   atomic.Int32 // workers that run
	stopping  atomic.Bool
	drainBy   time.Time   // set before stopping
	refused   atomic.Bool // that the kernel refuses segments has been logged
	cfg       *Config
}

// openUDP binds addr once for each worker. The first socket is bound alone, so
// that an address which any other process holds is found out, even one that
// shares its ports as we do; only then is the port opened to the others.
func openUDP(addr netip.AddrPort, cfg *Config, r Resolver) (listener, error) {
	g := &udpGroup{address: addr, cfg: cfg}
	if l, err := g.inherit(cfg, r); l != nil || err != nil {
		return l, err
	}
	for range udpWorkers(cfg) {
		alone := len(g.workers) == 0 && !cfg.Overlap
		fd, err := udpSocket(g.address, alone)
		if err != nil {
			return nil, errors.Join(bindError("udp", addr, err), g.close())
		}
		if g.address, err = boundAddr(fd); err != nil {
			return nil, errors.Join(err, unix.Close(fd), g.close())
		}
		g.workers = append(g.workers, newUDPWorker(fd, g, cfg, r, cfg.drops.of(g.address)))
	}
	return g, nil
}

// inherit is the group of the sockets that were inherited for its address, nil
// when there are none. Workers share a socket where there are more of them.
func (g *udpGroup) inherit(cfg *Config, r Resolver) (listener, error) {
	fds, err := cfg.Inherited.datagrams(g.address)
	if err != nil || len(fds) == 0 {
		return nil, err
	}
	g.inherited = true
	for n := range max(udpWorkers(cfg), len(fds)) {
		fd, drops := fds[n%len(fds)], cfg.drops.of(g.address)
		if n >= len(fds) {
			drops = new(atomic.Uint64) // the socket's are counted already
			if fd, err = duplicate(fd); err != nil {
				return nil, errors.Join(err, g.close())
			}
		}
		g.workers = append(g.workers, newUDPWorker(fd, g, cfg, r, drops))
		if err := setUDPOptions(fd, g.address.Addr()); err != nil {
			return nil, errors.Join(err, g.close())
		}
	}
	return g, nil
}

// serve implements listener.
func (g *udpGroup) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stopped := make(chan struct{})
	forget := context.AfterFunc(ctx, func() { g.stop(); close(stopped) })
	errs := make([]error, len(g.workers))
	var wg sync.WaitGroup
	g.working.Add(int32(len(g.workers)))
	for i, w := range g.workers {
		wg.Go(func() {
			defer g.working.Add(-1)
			if errs[i] = w.run(); errs[i] != nil {
				cancel() // one worker less would leave its share of the clients unanswered
			}
		})
	}
	wg.Wait()
	if !forget() {
		<-stopped // stop uses the descriptors that are about to be closed
	}
	return errors.Join(append(errs, g.close())...)
}

// stop makes every worker answer what its socket holds, or leave that to who
// has the socket next, and end.
func (g *udpGroup) stop() {
	g.drainBy = time.Now().Add(g.cfg.now().Timeouts.Shutdown)
	if g.inherited {
		g.stopping.Store(true)
		g.interrupt()
		return
	}
	for _, w := range g.workers {
		w.leave()
	}
	g.stopping.Store(true)
	for _, w := range g.workers {
		unix.Shutdown(w.fd, unix.SHUT_RD)
	}
}

// interrupt ends the waiting of workers whose sockets must not be shut down: by
// a signal to their threads. A socket with a time limit (SO_RCVTIMEO) is not
// waited on any further after one (signal(7)). It may come just before a worker
// begins to wait, so it comes until all have ended.
func (g *udpGroup) interrupt() {
	for g.working.Load() > 0 {
		for _, w := range g.workers {
			if thread := w.thread.Load(); thread != 0 {
				_ = unix.Tgkill(unix.Getpid(), int(thread), unix.SIGURG) // which Go programs take for nothing
			}
		}
		time.Sleep(time.Millisecond)
	}
}

// close implements listener.
func (g *udpGroup) close() error {
	var errs []error
	for _, w := range g.workers {
		errs = append(errs, unix.Close(w.fd))
	}
	return errors.Join(errs...)
}

// addr implements listener.
func (g *udpGroup) addr() net.Addr { return net.UDPAddrFromAddrPort(g.address) }
