package listeners

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// lingeringSocket is a TCP socket for servers that close idle connections
// abruptly when they stop, as net/http does: a request that is on its way then
// resets the connection, and its client can't tell that it was not answered. Once
// draining, connections are ended on our side first, and read until the client
// has ended its own (RFC 9112 §9.6).
type lingeringSocket struct {
	*net.TCPListener
	accepts  func() time.Duration // how long it goes on accepting when it drains now
	endBy    time.Time            // set before draining: no connection lingers longer
	draining atomic.Bool
	drains   chan struct{} // closed when it drains; nil: nobody waits for that

	closing sync.WaitGroup // connections that linger
	mu      sync.Mutex
	over    bool // none begins to linger any more
}

// Accept implements net.Listener.
func (s *lingeringSocket) Accept() (net.Conn, error) {
	c, err := s.AcceptTCP()
	if err != nil {
		return nil, err
	}
	return &lingeringConn{directConn: direct(c), socket: s}, nil
}

// drain has connections linger, and soon ends accepting.
func (s *lingeringSocket) drain(endBy time.Time) {
	s.endBy = endBy
	if !s.draining.Swap(true) && s.drains != nil {
		close(s.drains)
	}
	_ = s.SetDeadline(time.Now().Add(s.accepts()))
}

// wait returns when no connection lingers any more. What closes later is closed
// at once.
func (s *lingeringSocket) wait() {
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	s.closing.Wait()
}

// linger runs read, which reads a connection to its end, beside others. It
// returns false when it is too late for that.
func (s *lingeringSocket) linger(read func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return false
	}
	s.closing.Go(read)
	return true
}

type lingeringConn struct {
	*directConn
	socket *lingeringSocket
	ended  atomic.Bool
}

// Close implements net.Conn. It does not wait for the client.
func (c *lingeringConn) Close() error {
	if !c.socket.draining.Load() {
		return c.TCPConn.Close()
	}
	if c.ended.Swap(true) {
		return net.ErrClosed
	}
	if c.CloseWrite() != nil || !c.socket.linger(c.readToEnd) {
		return c.TCPConn.Close()
	}
	return nil
}

// readToEnd reads until the client ends its side, and closes ours.
func (c *lingeringConn) readToEnd() {
	by := time.Now().Add(lingering)
	if by.After(c.socket.endBy) {
		by = c.socket.endBy
	}
	_ = c.SetReadDeadline(by)
	_, _ = io.Copy(io.Discard, c.TCPConn)
	_ = c.TCPConn.Close()
}

// lingeringIn finds the lingering socket that an HTTP server has below others;
// nil when there is none.
func lingeringIn(l net.Listener) *lingeringSocket {
	for {
		switch s := l.(type) {
		case *tlsSocket:
			l = s.accountedSocket
		case accountedSocket:
			l = s.Listener
		case *lingeringSocket:
			return s
		default:
			return nil
		}
	}
}
