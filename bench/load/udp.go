package load

import (
	"context"
	"encoding/binary"
	"net"
	"time"

	"golang.org/x/net/ipv4"
)

// maxUDPBytes is more than any answer over UDP has here.
const maxUDPBytes = 4096

// askUDP keeps a window of queries on its way on one socket. The ID of a query
// is its place in the window.
func askUDP(ctx context.Context, c *Config, n *tally) error {
	conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(c.Server))
	if err != nil {
		return err
	}
	defer conn.Close()
	u := newSocket(ipv4.NewPacketConn(conn), c.Window)
	for ctx.Err() == nil {
		if err := u.send(c, n); err != nil {
			return err
		}
		if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		if err := u.receive(n); err != nil {
			n.problem(err)
			n.lost += uint64(u.giveUp())
		}
	}
	for u.free < c.Window { // the last ones
		if err := u.receive(n); err != nil {
			n.problem(err)
			n.lost += uint64(u.giveUp())
		}
	}
	return nil
}

// socket sends and receives several datagrams with one system call.
type socket struct {
	conn    *ipv4.PacketConn
	sent    []time.Time // by ID; zero: free
	free    int
	out, in []ipv4.Message
}

func newSocket(conn *ipv4.PacketConn, window int) *socket {
	u := &socket{conn: conn, sent: make([]time.Time, window), free: window, out: make([]ipv4.Message, window), in: make([]ipv4.Message, window)}
	for i := range u.in {
		u.out[i].Buffers = [][]byte{make([]byte, 0, maxUDPBytes)}
		u.in[i].Buffers = [][]byte{make([]byte, maxUDPBytes)}
	}
	return u
}

// send fills the window.
func (u *socket) send(c *Config, n *tally) error {
	now, k := time.Now(), 0
	for id := range u.sent {
		if !u.sent[id].IsZero() {
			continue
		}
		b := append(u.out[k].Buffers[0][:0], n.query(c)...)
		binary.BigEndian.PutUint16(b, uint16(id))
		u.out[k].Buffers[0] = b
		u.sent[id] = now
		k++
	}
	u.free = 0
	for sent := 0; sent < k; {
		m, err := u.conn.WriteBatch(u.out[sent:k], 0)
		if err != nil {
			return err
		}
		sent += m
	}
	return nil
}

// receive waits for an answer and takes all that are there.
func (u *socket) receive(n *tally) error {
	k, err := u.conn.ReadBatch(u.in, 0)
	if err != nil {
		return err
	}
	now := time.Now()
	for _, m := range u.in[:k] {
		b := m.Buffers[0][:m.N]
		id := len(u.sent)
		if len(b) > 1 {
			id = int(binary.BigEndian.Uint16(b))
		}
		if id >= len(u.sent) || u.sent[id].IsZero() {
			n.wrong++ // or too late
			continue
		}
		n.answer(b, now.Sub(u.sent[id]))
		u.sent[id] = time.Time{}
		u.free++
	}
	return nil
}

// giveUp frees the window, and returns how many queries were in it.
func (u *socket) giveUp() (lost int) {
	for id := range u.sent {
		if !u.sent[id].IsZero() {
			u.sent[id] = time.Time{}
			lost++
		}
	}
	u.free = len(u.sent)
	return lost
}
