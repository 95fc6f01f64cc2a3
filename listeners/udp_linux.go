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
type udpGroup struct {
	address  netip.AddrPort
	workers  []*udpWorker
	stopping atomic.Bool
	drainBy  time.Time // set before stopping
	cfg      *Config
}

// openUDP binds addr once for each worker. The first socket is bound alone, so
// that an address which any other process holds is found out, even one that
// shares its ports as we do; only then is the port opened to the others.
func openUDP(addr netip.AddrPort, cfg *Config, r Resolver) (listener, error) {
	g := &udpGroup{address: addr, cfg: cfg}
	for range udpWorkers(cfg) {
		fd, err := udpSocket(g.address, len(g.workers) == 0)
		if err != nil {
			return nil, errors.Join(bindError("udp", addr, err), g.close())
		}
		w := newUDPWorker(fd, g, cfg, r)
		g.workers = append(g.workers, w)
		if g.address, err = boundAddr(fd); err != nil {
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
	for i, w := range g.workers {
		wg.Go(func() {
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

// stop makes every worker answer what its socket holds and end. Shutting down an
// unconnected UDP socket is ENOTCONN, but Linux wakes its readers all the same.
func (g *udpGroup) stop() {
	g.drainBy = time.Now().Add(g.cfg.now().Timeouts.Shutdown)
	g.stopping.Store(true)
	for _, w := range g.workers {
		unix.Shutdown(w.fd, unix.SHUT_RD)
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
