package audit

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"time"

	"domainpark/query"
)

// stream asks over TCP or DoT. A connection that was kept may have been closed
// by the server meanwhile, which is no fault: a new one is opened then.
func (c *client) stream(ctx context.Context, e endpoint, wire []byte) ([]byte, error) {
	if conn := c.kept(e); conn != nil {
		answer, err := c.exchange(ctx, e, conn, wire)
		if err == nil || ctx.Err() != nil {
			return answer, err
		}
	}
	conn, err := c.dial(ctx, e)
	if err != nil {
		return nil, err
	}
	return c.exchange(ctx, e, conn, wire)
}

func (c *client) dial(ctx context.Context, e endpoint) (net.Conn, error) {
	conn, err := c.network.dial(ctx, "tcp", e.addr.String())
	if err != nil || e.transport != query.DoT {
		return conn, err
	}
	secure := tls.Client(conn, c.tlsConfig(e, "dot"))
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return secure, nil
}

// exchange sends one message on conn and reads the next. It keeps conn when
// that went well and closes it otherwise.
func (c *client) exchange(ctx context.Context, e endpoint, conn net.Conn, wire []byte) (answer []byte, err error) {
	deadline, _ := ctx.Deadline() // ask sets one
	conn.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	if _, err = conn.Write(framed(wire)); err == nil {
		answer, err = readFramed(conn)
	}
	if !stop() || err != nil {
		conn.Close()
		return answer, err
	}
	c.keep(e, conn)
	return answer, nil
}

func (c *client) kept(e endpoint) net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	conns := c.idle[e]
	if len(conns) == 0 {
		return nil
	}
	conn := conns[len(conns)-1]
	c.removeLast(e)
	return conn
}

// How many connections wait for questions, to one server and to all together:
// a long list of domains meets many servers.
const (
	maxKept    = 4
	maxKeptAll = 64
)

// keep lets conn wait for the next question. When there are too many, one to
// any server goes: which, the order of maps decides.
func (c *client) keep(e endpoint, conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.idle[e]) >= maxKept {
		conn.Close()
		return
	}
	c.idle[e] = append(c.idle[e], conn)
	if c.waiting++; c.waiting <= maxKeptAll {
		return
	}
	for other, conns := range c.idle {
		if len(conns) > 0 && other != e {
			conns[len(conns)-1].Close()
			c.removeLast(other)
			return
		}
	}
}

// removeLast takes the last connection to e out of those that wait. The caller
// holds mu.
func (c *client) removeLast(e endpoint) {
	conns := c.idle[e]
	c.waiting--
	if len(conns) == 1 {
		delete(c.idle, e)
		return
	}
	c.idle[e] = conns[:len(conns)-1]
}

// framed puts a message's length in front of it (RFC 1035 §4.2.2, RFC 9250 §4.2).
func framed(wire []byte) []byte {
	return append(binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(wire)), uint16(len(wire))), wire...)
}

func readFramed(r io.Reader) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	answer := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(r, answer)
	return answer, err
}
