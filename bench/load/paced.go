package load

import (
	"context"
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"
)

// pace is how often queries leave that are sent at a rate. Those of one time
// leave together: a hundred a millisecond come as five bursts of twenty.
const pace = 200 * time.Microsecond

// pacedSocket is a socket whose queries leave when it is time for them, whether
// or not earlier ones were answered. One goroutine sends, another receives.
type pacedSocket struct {
	conn *net.UDPConn
	ids  [1 << 16]atomic.Int64 // when a query with this ID left, in nanoseconds since begin; 0: none is on its way
	next uint16
	sent uint64 // the sender's
	*tally
}

// askPaced sends c.Rate queries a second over c.Connections sockets. IDs are
// used again after more than patience up to 30,000 queries a second and socket.
func askPaced(ctx context.Context, c *Config, tallies []tally, errs []error) {
	begin := time.Now()
	var sockets []*pacedSocket
	var receivers sync.WaitGroup
	for i := range tallies {
		conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(c.Server))
		if err != nil {
			errs[i] = err
			continue
		}
		defer conn.Close()
		s := &pacedSocket{conn: conn, tally: &tallies[i]}
		sockets = append(sockets, s)
		receivers.Go(func() { s.receive(ctx, begin) })
	}
	if len(sockets) > 0 {
		sendPaced(ctx, c, sockets, begin)
	}
	receivers.Wait()
	for _, s := range sockets {
		s.lost = max(s.sent, s.answers+s.wrong) - s.answers - s.wrong
	}
}

// sendPaced sends until ctx ends what is due, to one socket after another.
func sendPaced(ctx context.Context, c *Config, sockets []*pacedSocket, begin time.Time) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	batch := make([]ipv4.Message, 0, 64)
	for turn, sent := 0, 0; ; turn++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		due := int(min(time.Since(begin), c.Duration).Seconds()*float64(c.Rate)) - sent
		s := sockets[turn%len(sockets)]
		for due > 0 {
			n := min(due, cap(batch))
			s.send(c, batch[:n], begin)
			sent, due = sent+n, due-n
		}
	}
}

// send fills and sends batch. What can't be sent is a lost query.
func (s *pacedSocket) send(c *Config, batch []ipv4.Message, begin time.Time) {
	now := max(int64(time.Since(begin)), 1)
	for i := range batch {
		if len(batch[i].Buffers) == 0 {
			batch[i].Buffers = [][]byte{make([]byte, 0, maxUDPBytes)}
		}
		b := append(batch[i].Buffers[0][:0], s.query(c)...)
		binary.BigEndian.PutUint16(b, s.next)
		batch[i].Buffers[0] = b
		s.ids[s.next].Store(now)
		s.next++
	}
	s.sent += uint64(len(batch))
	for conn := ipv4.NewPacketConn(s.conn); len(batch) > 0; {
		n, err := conn.WriteBatch(batch, 0)
		if err != nil {
			return
		}
		batch = batch[n:]
	}
}

// receive takes answers until a little after the end of ctx.
func (s *pacedSocket) receive(ctx context.Context, begin time.Time) {
	stop := context.AfterFunc(ctx, func() { _ = s.conn.SetReadDeadline(time.Now().Add(patience / 10)) })
	defer stop()
	conn := ipv4.NewPacketConn(s.conn)
	in := make([]ipv4.Message, 64)
	for i := range in {
		in[i].Buffers = [][]byte{make([]byte, maxUDPBytes)}
	}
	for {
		n, err := conn.ReadBatch(in, 0)
		if err != nil {
			return // the deadline
		}
		now := int64(time.Since(begin))
		for _, m := range in[:n] {
			b := m.Buffers[0][:m.N]
			if len(b) < 2 {
				continue
			}
			left := s.ids[binary.BigEndian.Uint16(b)].Swap(0)
			if left == 0 {
				continue // twice, or too late
			}
			s.answer(b, time.Duration(now-left))
		}
	}
}
