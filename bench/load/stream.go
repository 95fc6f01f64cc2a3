package load

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"time"
)

// readBytes is the buffer of a connection: several TLS records (RFC 8446 §5.1).
const readBytes = 64 << 10

// askStream asks over one connection of TCP or DoT (RFC 7766 §6.2.1.1). Answers
// may come in another order (RFC 7766 §7): the ID of a query is its place in
// the window.
func askStream(ctx context.Context, c *Config, n *tally) error {
	var config *tls.Config
	if c.Transport == "dot" {
		config = c.tlsConfig("dot")
	}
	conn, err := dialStream(ctx, c, config)
	if err != nil {
		return err
	}
	defer conn.Close()
	s := &stream{conn: conn, in: bufio.NewReaderSize(conn, readBytes), sent: make([]time.Time, c.Window)}
	for id := range s.sent {
		s.free = append(s.free, uint16(id))
	}
	for ctx.Err() == nil || s.under > 0 {
		if ctx.Err() == nil {
			if err := s.send(c, n); err != nil {
				return err
			}
		}
		if err := s.receive(n); err != nil {
			n.lost += uint64(s.under)
			n.problem(err)
			return nil
		}
	}
	return nil
}

// dialStream connects, with TLS when config is not nil.
func dialStream(ctx context.Context, c *Config, config *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.Server.String())
	if err != nil || config == nil {
		return conn, err
	}
	encrypted := tls.Client(conn, config)
	if err := encrypted.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return encrypted, nil
}

// stream is one connection.
type stream struct {
	conn  net.Conn
	in    *bufio.Reader
	out   []byte
	sent  []time.Time // by ID
	free  []uint16    // IDs
	under int         // queries on their way
}

// send fills the window with one write.
func (s *stream) send(c *Config, n *tally) error {
	now := time.Now()
	s.out = s.out[:0]
	for _, id := range s.free {
		q := n.query(c)
		s.out = binary.BigEndian.AppendUint16(s.out, uint16(len(q)))
		s.out = binary.BigEndian.AppendUint16(s.out, id)
		s.out = append(s.out, q[2:]...)
		s.sent[id] = now
	}
	s.under += len(s.free)
	s.free = s.free[:0]
	if err := s.conn.SetDeadline(now.Add(patience)); err != nil {
		return err
	}
	_, err := s.conn.Write(s.out)
	return err
}

// receive waits for an answer and takes all that are there.
func (s *stream) receive(n *tally) error {
	for {
		head, err := s.in.Peek(2)
		if err != nil {
			return err
		}
		size := int(binary.BigEndian.Uint16(head))
		m, err := s.in.Peek(2 + size)
		if err != nil {
			return err
		}
		s.take(m[2:], n)
		if _, err := s.in.Discard(2 + size); err != nil {
			return err
		}
		if s.in.Buffered() < 2 {
			return nil
		}
		if head, _ := s.in.Peek(2); s.in.Buffered() < 2+int(binary.BigEndian.Uint16(head)) {
			return nil
		}
	}
}

// take counts one answer.
func (s *stream) take(m []byte, n *tally) {
	id := len(s.sent)
	if len(m) > 1 {
		id = int(binary.BigEndian.Uint16(m))
	}
	if id >= len(s.sent) {
		n.wrong++
		return
	}
	n.answer(m, time.Since(s.sent[id]))
	s.free = append(s.free, uint16(id))
	s.under--
}

// connectStream asks over DoT, each query over a connection of its own.
func connectStream(ctx context.Context, c *Config, n *tally) error {
	config := c.tlsConfig("dot")
	for ctx.Err() == nil {
		begin := time.Now()
		conn, err := dialStream(ctx, c, config)
		if err == nil {
			n.connected(conn.(*tls.Conn).ConnectionState())
			var m []byte
			if m, err = exchange(conn, n.query(c)); err == nil {
				n.answer(m, time.Since(begin))
			}
			hangUp(conn)
		}
		if err != nil {
			n.lost++
			n.problem(err)
		}
	}
	return nil
}

// exchange asks once.
func exchange(conn io.ReadWriter, query []byte) ([]byte, error) {
	if c, ok := conn.(net.Conn); ok {
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			return nil, err
		}
	}
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)); err != nil {
		return nil, err
	}
	var head [2]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return nil, err
	}
	m := make([]byte, binary.BigEndian.Uint16(head[:]))
	_, err := io.ReadFull(conn, m)
	return m, err
}

// hangUp resets a connection, so that its port is free again: there are some
// 28,000 of them, and a closed one is kept for a minute (RFC 9293 §3.4.1).
func hangUp(conn net.Conn) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	if t, ok := conn.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	conn.Close()
}
