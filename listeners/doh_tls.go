package listeners

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"domainpark/query"
)

// withALPN returns a copy of given that speaks protos alone. It holds for what
// GetConfigForClient returns as well.
//
// A copy has its own list of session ticket keys: SetSessionTicketKeys on given
// no longer reaches it. Whoever rolls keys over does it in WrapSession and
// UnwrapSession, or in GetConfigForClient.
func withALPN(given *tls.Config, protos ...string) *tls.Config {
	return withProtocols(given, func(*tls.Config) []string { return protos })
}

// acmeALPN is the name by which an ACME server asks for the certificate of a
// tls-alpn-01 challenge (RFC 8737 §6.2).
const acmeALPN = "acme-tls/1"

// withHTTP returns a copy of given that speaks HTTP, and acme-tls/1 where given,
// or what its GetConfigForClient returns, does. net/http closes a connection
// with that protocol when the handshake is done, as it has to be.
func withHTTP(given *tls.Config) *tls.Config {
	c := withProtocols(given, func(c *tls.Config) []string {
		if slices.Contains(c.NextProtos, acmeALPN) {
			return []string{"h2", "http/1.1", acmeALPN}
		}
		return []string{"h2", "http/1.1"}
	})
	c.DynamicRecordSizingDisabled = true // see dotConfig
	return c
}

func withProtocols(given *tls.Config, protos func(*tls.Config) []string) *tls.Config {
	c := given.Clone()
	c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
	c.NextProtos = protos(given)
	if choose := given.GetConfigForClient; choose != nil {
		c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			own, err := choose(hello)
			if own == nil || err != nil {
				return nil, err
			}
			own = withProtocols(own, protos)
			own.DynamicRecordSizingDisabled = c.DynamicRecordSizingDisabled
			return own, nil
		}
	}
	return c
}

// tlsSocket is a TCP socket that accepts connections whose handshake is done.
// net/http would do the handshake as well, but has no deadline of its own for
// it. Handshakes run side by side, so a stalled one holds up nobody.
type tlsSocket struct {
	accountedSocket
	doorstep doorstep // of whoever calls begin
	config   *tls.Config
	h2       func(*tls.Conn) // takes connections that speak HTTP/2, at once
	log      *slog.Logger

	start  sync.Once
	ready  chan net.Conn
	failed chan error
	ctx    context.Context // ends when the socket is closed
	cancel context.CancelFunc

	handshakes sync.WaitGroup
	last       chan struct{} // closed when no handshake begins any more
}

// settle returns when the socket has ended accepting and the handshakes are
// done and their connections accepted, or when ctx ends.
func (s *tlsSocket) settle(ctx context.Context) {
	s.start.Do(func() { close(s.last) })
	select {
	case <-s.last:
	case <-ctx.Done():
		return
	}
	done := make(chan struct{})
	go func() {
		s.handshakes.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done(): // Close breaks off the others
	}
}

func newTLSSocket(socket accountedSocket, config *tls.Config) *tlsSocket {
	s := &tlsSocket{
		accountedSocket: socket,
		config:          config,
		log:             socket.cfg.Log,
		ready:           make(chan net.Conn),
		failed:          make(chan error),
		last:            make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Accept implements net.Listener. The first call starts accepting.
func (s *tlsSocket) Accept() (net.Conn, error) {
	s.start.Do(func() { go s.accept() })
	select {
	case c := <-s.ready:
		return c, nil
	case err := <-s.failed:
		return nil, err
	case <-s.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. Handshakes under way are broken off.
func (s *tlsSocket) Close() error {
	s.cancel()
	return s.Listener.Close()
}

// accept hands errors to whoever calls Accept and waits until they are taken,
// so that it backs off when the caller does.
func (s *tlsSocket) accept() {
	defer close(s.last)
	if err := s.acceptAll(); err != nil {
		select {
		case s.failed <- err:
		case <-s.ctx.Done():
		}
	}
}

// acceptAll accepts until the server drains or the socket is closed.
func (s *tlsSocket) acceptAll() (err error) {
	defer s.cfg.faults.stops(&err, "doh")
	var drains <-chan struct{}
	if below := lingeringIn(s); below != nil {
		drains = below.drains
	}
	for {
		select {
		case <-s.cfg.gate.hasRoom():
		case <-drains:
		case <-s.ctx.Done():
		}
		c, err := s.acceptOne()
		if err == nil {
			s.begin(c)
			continue
		}
		if isTimeout(err) {
			return nil // the server drains
		}
		select {
		case s.failed <- err:
		case <-s.ctx.Done():
			return nil
		}
	}
}

// begin starts the handshake of c, unless its client is sent away at the doorstep.
// One goroutine calls it.
func (s *tlsSocket) begin(c *accountedConn) {
	defer s.faulted(c)
	c.greeting = newGreeting(c, s.cfg.now().Timeouts.Write)
	if !c.greeting.greet(&s.doorstep, s.accounts, remote(c).Addr()) {
		_ = c.Close()
		return
	}
	s.handshakes.Go(func() { s.handshake(c) })
}

// faulted is for a deferred call. A panic costs the connection at hand.
func (s *tlsSocket) faulted(c *accountedConn) {
	if cause := recover(); cause != nil {
		s.cfg.faults.note(cause, "doh", remote(c))
		c.forget()
		_ = c.Close()
	}
}

// shake does the handshake of raw, which ends when the socket is closed, or by a time
// that its reads and writes know.
func (s *tlsSocket) shake(raw *accountedConn, by time.Time) (c *tls.Conn, err error) {
	stop := context.AfterFunc(s.ctx, func() {
		raw.passing.bar()
		_ = raw.Close()
	})
	defer func() {
		if !stop() {
			err = s.ctx.Err()
		}
	}()
	if err := raw.greeting.admit(s.accounts, remote(raw).Addr()); err != nil {
		return nil, err
	}
	raw.toll = raw.greeting.toll
	raw.passing.begin(newPassage(s.cfg, query.DoH, &raw.greeting.records, remote(raw).Addr(), by))
	defer raw.passing.end()
	c = tls.Server(raw, s.config)
	if err := c.Handshake(); err != nil {
		return c, err
	}
	raw.passing.succeed(c)
	return c, nil
}

func (s *tlsSocket) handshake(raw *accountedConn) {
	defer s.faulted(raw)
	by := time.Now().Add(s.cfg.now().Timeouts.Handshake)
	_ = raw.SetDeadline(by)
	c, err := s.shake(raw, by)
	if err != nil {
		s.log.Debug("TLS handshake failed", "transport", "doh", "client", raw.RemoteAddr().String(), "error", err)
		explain(err)
		raw.forget()
		_ = raw.Close()
		return
	}
	_ = raw.SetDeadline(time.Time{})
	if s.h2 != nil && c.ConnectionState().NegotiatedProtocol == "h2" {
		s.h2(c)
		return
	}
	select {
	case s.ready <- c:
	case <-s.ctx.Done():
		_ = raw.Close()
	}
}

// plainHTTP answers a client that speaks HTTP without TLS.
const plainHTTP = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n" +
	"This port speaks HTTPS: the request came without TLS. Use https:// in the address.\n"

// explain tells a client what is wrong when its first bytes were those of a
// plain HTTP request.
func explain(handshake error) {
	record, ok := errors.AsType[tls.RecordHeaderError](handshake)
	if !ok || record.Conn == nil {
		return
	}
	switch string(record.RecordHeader[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO":
		_, _ = io.WriteString(record.Conn, plainHTTP)
	}
}
