package listeners

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"domainpark/query"
)

// QUICKeys are the secrets behind what a QUIC server gives out and has to know
// again later. With the same keys, every machine of a fleet accepts what another
// one gave out, also after a restart.
type QUICKeys struct {
	Token [32]byte // protects address validation tokens (RFC 9000 §8.1.3); zero: random
	Reset [32]byte // makes stateless reset tokens (RFC 9000 §10.3.2); zero: random
}

const (
	// tokenAge is how long a token proves that a client is at its address. Who
	// had the address before, or shares it, holds one as well, so it is the
	// lifetime of a server cookie (RFC 9018 §4.3) and not quic-go's 24 hours.
	tokenAge = time.Hour

	// streamWindow is what a client may send on one stream before we read it: any
	// query in practice, with an HTTP/3 header. Longer messages take as many round
	// trips as there are windows in them.
	streamWindow = 16 << 10

	// connectionWindow is the same for all streams together: 300 bytes for each of
	// a hundred queries. It is what one connection can make us keep of what arrived
	// out of order, and quic-go keeps each STREAM frame in an entry of 150 bytes.
	connectionWindow = 2 * streamWindow
)

// quicProtocol is what DoQ and HTTP/3 differ in.
type quicProtocol struct {
	transport      query.Transport
	alpn           string
	early          bool                      // whether data in 0-RTT is taken
	unidirectional int64                     // how many such streams a client may have
	goodbye        quic.ApplicationErrorCode // ends a connection that did nothing wrong
	busy           quic.ApplicationErrorCode // ends one that there is no room for
	internal       quic.ApplicationErrorCode // ends one that a panic came from
	conn           func(*quic.Conn, *refusals) (quicConn, error)
}

// quicConn serves the streams of one connection.
type quicConn interface {
	// stream serves s, which was accepted now, as far as it can without waiting
	// for the client, and returns what is left to do, or nil. The rest gets a
	// goroutine of its own and new deadlines for reading and writing.
	stream(s *quic.Stream, now time.Time) (rest func())

	// unidirectional serves s, in a goroutine of its own.
	unidirectional(s *quic.ReceiveStream)

	// leave tells the client that the stream next and those behind it will not be
	// served, if there is a way to say it. It does not wait.
	leave(next quic.StreamID)
}

// quicListener is a UDP socket that speaks one protocol over QUIC.
type quicListener struct {
	quicProtocol
	socket     *net.UDPConn
	packets    *quic.Transport
	handshakes handshakes
	cfg        *Config
}

func newQUIC(socket *net.UDPConn, cfg *Config, p quicProtocol) *quicListener {
	adviseBuffers(cfg.Log)
	l := &quicListener{quicProtocol: p, socket: socket, cfg: cfg}
	l.handshakes = handshakes{cfg: cfg, accounts: cfg.connections(), busy: p.busy, faults: cfg.faults, transport: p.transport.String()}
	l.packets = &quic.Transport{
		Conn:                  quicSocketOf(socket),
		ConnectionIDGenerator: mark(socket, cfg),
		TokenGeneratorKey:     (*quic.TokenGeneratorKey)(orRandom(cfg.QUIC.Token)),
		StatelessResetKey:     (*quic.StatelessResetKey)(orRandom(cfg.QUIC.Reset)),
		VerifySourceAddress:   l.handshakes.crowded,
		MaxTokenAge:           tokenAge,
		ConnContext:           l.handshakes.begin,
	}
	return l
}

// quicConfig is for connections that begin now.
func (l *quicListener) quicConfig() *quic.Config {
	t := &l.cfg.now().Timeouts
	return &quic.Config{
		HandshakeIdleTimeout: t.Handshake / 2, // the whole handshake may take twice this time
		// For clients that have vanished. A stalled stream must get its answer
		// before, and idle ones a goodbye from quicWork.
		MaxIdleTimeout:                 t.Idle + t.Message + t.Write,
		MaxIncomingStreams:             int64(l.cfg.now().streams()),
		MaxIncomingUniStreams:          l.quicProtocol.unidirectional,
		InitialStreamReceiveWindow:     streamWindow,
		MaxStreamReceiveWindow:         streamWindow,
		InitialConnectionReceiveWindow: connectionWindow,
		MaxConnectionReceiveWindow:     connectionWindow,
		Allow0RTT:                      l.early,
	}
}

func (l *quicListener) addr() net.Addr { return l.socket.LocalAddr() }

func (l *quicListener) close() error { return l.socket.Close() }

// serve implements listener. quic-go reads on by itself after errors that pass.
func (l *quicListener) serve(ctx context.Context) error {
	defer l.socket.Close()
	config := l.quicConfig()
	config.GetConfigForClient = func(*quic.ClientInfo) (*quic.Config, error) { return l.quicConfig(), nil }
	ln, err := l.packets.ListenEarly(l.tlsConfig(ctx), config)
	if err != nil {
		return err
	}
	defer l.packets.Close()
	var conns sync.WaitGroup
	err = acceptAll(ctx, ln, func(conn *quic.Conn) {
		conns.Go(func() { l.serveConn(ctx, conn) })
	})
	conns.Wait()
	l.linger()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// acceptor is a *quic.EarlyListener.
type acceptor interface {
	Accept(context.Context) (*quic.Conn, error)
	Close() error
}

// acceptAll hands every connection of ln to serve until ctx ends or accepting
// fails, and closes ln: handshakes under way are refused, connections live on.
// Those that nobody has accepted by then are handed on as well. Nobody else would
// close them in order: their clients would wait, or be reset by a process that
// takes over.
func acceptAll(ctx context.Context, ln acceptor, serve func(*quic.Conn)) error {
	for {
		conn, err := ln.Accept(ctx)
		if err == nil {
			serve(conn)
			continue
		}
		_ = ln.Close()
		for {
			conn, last := ln.Accept(context.Background())
			if last != nil { // ErrServerClosed, when there are no more
				return err
			}
			serve(conn)
		}
	}
}

// tlsConfig is for every handshake until ctx ends. quic-go calls what is in it from goroutines
// of its own, where a panic would be the end of the process.
func (l *quicListener) tlsConfig(ctx context.Context) *tls.Config {
	given := quicTLS(l.handshakes.recovering(l.cfg.TLS), l.alpn)
	return l.gated(chargedTokens(given, chargedSafely{l.cfg.connections(), &l.handshakes}), ctx.Done())
}

// linger reads on for a while when all connections are closed (RFC 9000 §10.2.1):
// what their clients have sent meanwhile must not come to a process that takes
// over, which could only reset them, and may be faster than our goodbye. An
// inherited socket is read by nobody for longer than that.
func (l *quicListener) linger() {
	addr := addrOf(l.socket.LocalAddr())
	if !l.cfg.Inherited.has("doq", addr) && !l.cfg.Inherited.has("doh3", addr) {
		time.Sleep(min(lastLook, l.cfg.now().Timeouts.Shutdown))
	}
}

// serveConn serves a connection until the client closes it, it has been idle
// for too long, it has had what it may, too many of its requests were refused or ctx
// ends. In the last three cases it finishes the streams it has.
func (l *quicListener) serveConn(ctx context.Context, conn *quic.Conn) {
	defer l.faulted(conn)
	if !proven(ctx, conn) {
		_ = conn.CloseWithError(l.goodbye, "")
		return
	}
	account := l.handshakes.admit(conn)
	if account == nil {
		_ = conn.CloseWithError(l.busy, "too many connections or handshakes of your network, or it is not allowed to ask")
		return
	}
	defer account.Close()
	ctx, end := context.WithCancel(ctx)
	defer end()
	refused := &refusals{most: mostRefused(l.handshakes.accounts), end: end, dismissed: dismissed{l.cfg.dismissals, l.transport, conn}}
	c, err := l.conn(conn, refused)
	if err != nil {
		_ = conn.CloseWithError(l.goodbye, "")
		return
	}
	l.serveStreams(ctx, conn, c, account, refused)
}

// faulted is for a deferred call. It ends the connection after a panic.
func (l *quicListener) faulted(conn *quic.Conn) {
	if cause := recover(); cause != nil {
		l.cfg.faults.note(cause, l.transport.String(), remote(conn))
		_ = conn.CloseWithError(l.internal, errFault.Error())
	}
}

// serveStreams is the part of serveConn behind the handshake.
func (l *quicListener) serveStreams(ctx context.Context, conn *quic.Conn, c quicConn, account Connection, refused *refusals) {
	var goroutines sync.WaitGroup
	defer goroutines.Wait()
	defer l.faulted(conn) // which ends what is waited for
	goroutines.Go(func() { l.acceptUnidirectional(conn, c, &goroutines) })
	work := newQUICWork(conn, l.goodbye, l.handshakes.idle)
	arrivals := streamQueue{accept: conn.AcceptStream, late: l.cfg.now().streams()}
	var next quic.StreamID
	for more := true; more && !refused.over(); {
		s := arrivals.next(ctx)
		if s == nil {
			break
		}
		next = s.StreamID() + 4 // RFC 9000 §2.1
		now := time.Now()
		more = account.Touch(now)
		work.begin()
		rest := c.stream(s, now)
		if rest == nil {
			work.end(now)
			continue
		}
		now = time.Now()
		t := l.cfg.now().Timeouts
		_ = s.SetReadDeadline(now.Add(t.Message))
		_ = s.SetWriteDeadline(now.Add(t.Message + t.Write))
		goroutines.Go(func() {
			defer func() { work.end(time.Now()) }()
			defer l.faulted(conn)
			rest()
		})
	}
	c.leave(next)
	work.drain(l.cfg.now().Timeouts.Shutdown)
}

func (l *quicListener) acceptUnidirectional(conn *quic.Conn, c quicConn, goroutines *sync.WaitGroup) {
	defer l.faulted(conn)
	for {
		s, err := conn.AcceptUniStream(conn.Context())
		if err != nil {
			return
		}
		goroutines.Go(func() {
			defer l.faulted(conn)
			c.unidirectional(s)
		})
	}
}
