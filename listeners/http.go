package listeners

import (
	"bytes"
	"context"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"domainpark/query"
)

// maxHeaderBytes bounds the header of a request. A GET of RFC 8484 carries the
// query in it, so this also bounds the query: 12 KiB of DNS message in base64url.
const maxHeaderBytes = 16 << 10

// httpListener is a TCP socket whose connections belong to net/http: DoH over
// HTTP/1.1, and plain HTTP for ACME.
type httpListener struct {
	socket net.Listener
	server *httpServer
	cfg    *Config
}

// httpServer is one of net/http that knows when it stops.
type httpServer struct {
	http.Server
	stopping atomic.Bool
}

// bindHTTP binds a plain HTTP address, for ACME http-01 (RFC 8555 §8.3).
func bindHTTP(hostport string, cfg *Config, _ Resolver) ([]listener, error) {
	if cfg.HTTPHandler == nil {
		return nil, errors.New("plain HTTP is for ACME alone, and there is no ACME; hint: set tls.acme.hosts, or listen.http: []")
	}
	return bindEach(hostport, func(addr netip.AddrPort) (listener, error) {
		tcp, err := openTCPSocket(cfg, "http", addr)
		if err != nil {
			return nil, err
		}
		socket := accountedSocket{tcp, cfg.connections(), cfg}
		server := newHTTPServer(cfg, cfg.aborting(cfg.charging(cfg.HTTPHandler)))
		server.Protocols = new(http.Protocols)
		server.Protocols.SetHTTP1(true)
		return &httpListener{socket, server, cfg}, nil
	})
}

// newHTTPServer makes a server with every limit that net/http has set. A
// request must be complete, its body included, within Timeouts.Message, and
// net/http counts that time for a connection's first request from the handshake.
func newHTTPServer(cfg *Config, handler http.Handler) *httpServer {
	t := cfg.Timeouts
	s := &httpServer{Server: http.Server{
		Handler:           handler,
		ReadHeaderTimeout: t.Message,
		ReadTimeout:       t.Message,
		WriteTimeout:      t.Message + t.Write, // begins when the header has been read, before the body
		IdleTimeout:       t.Idle,
		ConnContext:       withAccount,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          log.New(httpLog{cfg.Log, new(throttle)}, "", 0),

		// net/http would answer OPTIONS * by itself: at no charge, and on a
		// connection that never has had what it may.
		DisableGeneralOptionsHandler: true,
	}}
	s.ConnState = s.unserved(cfg, firstWithin(t.Message, watch(t.Idle)))
	return s
}

func (l *httpListener) addr() net.Addr { return l.socket.Addr() }

func (l *httpListener) close() error { return l.socket.Close() }

// serve implements listener. net/http backs off by itself when accepting fails.
func (l *httpListener) serve(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- l.accept() }()
	select {
	case err := <-served:
		l.server.stopping.Store(true)
		return errors.Join(err, l.server.Close())
	case <-ctx.Done():
	}
	l.server.stopping.Store(true)
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.cfg.now().Timeouts.Shutdown)
	defer cancel()
	if s := lingeringIn(l.socket); s != nil {
		endBy, _ := drain.Deadline()
		s.drain(endBy)
	}
	if s, ok := l.socket.(*tlsSocket); ok {
		s.settle(drain)
	}
	if l.server.Shutdown(drain) != nil {
		_ = l.server.Close() // who is not done by now is cut off
	}
	<-served
	return nil
}

func (l *httpListener) accept() (err error) {
	defer l.cfg.faults.stops(&err, "http")
	return l.server.Serve(l.socket)
}

// aborting is handler, whose panics are noted.
func (cfg *Config) aborting(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer cfg.faults.aborts("http", r)
		handler.ServeHTTP(w, r)
	})
}

// charging is handler, each request of which is accounted for and charged as one
// to DoH without a query is.
func (cfg *Config) charging(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refused := touch(w, r)
		if !cfg.admits(clientAddr(r), query.DoH, time.Now()) {
			refuseOn(w, refused, errRequests)
			return
		}
		refused.answered()
		handler.ServeHTTP(w, r)
	})
}

// httpLog takes what net/http has to say. Nearly all of it is about what
// clients did wrong, and clients do not write our log: it goes to the debug
// level. A panic is ours, and a lack of descriptors is the operator's.
type httpLog struct {
	*slog.Logger
	lines *throttle
}

// Write implements io.Writer for one line of log.Logger.
func (l httpLog) Write(line []byte) (int, error) {
	level := slog.LevelDebug
	switch {
	case bytes.Contains(line, []byte("panic serving")):
		level = slog.LevelError
	case bytes.Contains(line, []byte("Accept error")):
		level = slog.LevelWarn
	}
	if level > slog.LevelDebug {
		if _, ok := l.lines.allow(time.Now(), complainEvery); !ok {
			return len(line), nil
		}
	}
	l.Log(context.Background(), level, string(bytes.TrimSpace(line)))
	return len(line), nil
}
