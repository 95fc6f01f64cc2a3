package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/netutil"
)

// AdminConfig says what the administrator's HTTP server shows, and where.
type AdminConfig struct {
	Addresses []string // host:port; empty: there is no such server

	// Listen opens the sockets of an address; its errors are for operators. Nil:
	// they are opened here.
	Listen func(address string) ([]net.Listener, error)

	Version string // of the program, for /version
	Sources []Source

	// Ready returns why the server should get no queries now, in words for an
	// operator; nil when it should. It is called by several goroutines at once,
	// and must not be nil.
	Ready func() error

	Profiling bool // serve /debug/pprof/

	Log *slog.Logger // nil: slog.Default()
}

// Limits of the administrator's server: its clients are few and near, and
// however many come, they must not cost queries their descriptors.
const (
	adminConnections = 64 // for each address; the next ones wait
	adminScrapes     = 4  // at once; a Prometheus needs one
	adminHeaderBytes = 8 << 10
	adminReadTimeout = 5 * time.Second
	adminTimeout     = 15 * time.Second // for an answer; profiles get the time that they ask for on top
	adminIdle        = 2 * time.Minute  // longer than between two scrapes
	adminGrace       = time.Second
)

// Admin is the administrator's HTTP server: /metrics, /health, /ready and
// /version. It fails by itself: queries are answered without it.
type Admin struct {
	server  *http.Server
	sockets []net.Listener
	log     *slog.Logger
}

// BindAdmin binds every address, or none; its error names each that failed.
func BindAdmin(cfg AdminConfig) (*Admin, error) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Listen == nil {
		cfg.Listen = listen
	}
	handler, err := newAdminHandler(cfg)
	if err != nil {
		return nil, err
	}
	a := &Admin{log: cfg.Log, server: &http.Server{
		Handler:        handler,
		ReadTimeout:    adminReadTimeout,
		WriteTimeout:   adminTimeout,
		IdleTimeout:    adminIdle,
		MaxHeaderBytes: adminHeaderBytes,
		// What net/http says of plain HTTP is about us: a panic, or a lack of
		// descriptors, of which it speaks once a second.
		ErrorLog: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelWarn),
	}}
	var errs []error
	for _, address := range cfg.Addresses {
		sockets, err := cfg.Listen(address)
		if err != nil {
			errs = append(errs, fmt.Errorf("listen admin %s: %w", address, err))
			continue
		}
		a.sockets = append(a.sockets, sockets...)
	}
	if len(errs) > 0 {
		return nil, errors.Join(append(errs, a.Close())...)
	}
	return a, nil
}

func listen(address string) ([]net.Listener, error) {
	socket, err := net.Listen(adminNetwork(address), address)
	if err != nil {
		return nil, reason(err)
	}
	return []net.Listener{socket}, nil
}

// adminNetwork is the one of address's family, as for queries: 0.0.0.0 is IPv4
// alone and [::] IPv6 alone. An empty host is both.
func adminNetwork(address string) string {
	addr, err := netip.ParseAddrPort(address)
	switch {
	case err != nil:
		return "tcp"
	case addr.Addr().Unmap().Is4():
		return "tcp4"
	}
	return "tcp6"
}

// reason is the system's own error, without what the caller says already.
func reason(err error) error {
	errno := syscall.Errno(0)
	switch {
	case !errors.As(err, &errno):
		return err
	case errors.Is(errno, syscall.EADDRINUSE):
		return fmt.Errorf("%w; hint: another program has it, or the listen.admin of another instance; set listen.admin to another address or port", errno)
	}
	return errno
}

// Bound is what the server is bound to, in the order of the settings.
func (a *Admin) Bound() (out []net.Addr) {
	for _, s := range a.sockets {
		out = append(out, s.Addr())
	}
	return out
}

// Close gives up the sockets of a server that never served.
func (a *Admin) Close() error {
	var errs []error
	for _, s := range a.sockets {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// Serve answers until ctx ends, lets requests under way finish within a second
// and returns. It may be called once.
func (a *Admin) Serve(ctx context.Context) {
	var wg sync.WaitGroup
	for _, s := range a.sockets {
		wg.Go(func() {
			err := a.server.Serve(netutil.LimitListener(s, adminConnections))
			if !errors.Is(err, http.ErrServerClosed) {
				a.log.Error("the admin listener has stopped; queries are still answered", "address", s.Addr().String(), "error", err)
			}
		})
	}
	<-ctx.Done()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), adminGrace)
	defer cancel()
	if a.server.Shutdown(grace) != nil {
		_ = a.server.Close() // who is not done by now is cut off
	}
	wg.Wait()
}
