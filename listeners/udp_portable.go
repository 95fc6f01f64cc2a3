package listeners

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"domainpark/query"
)

// portableUDP is one UDP address on systems without recvmmsg: a socket that
// every worker reads. It behaves as udpGroup does, at a lower speed.
type portableUDP struct {
	conn     *net.UDPConn
	wildcard bool // answers leave from the address that the query came to
	ipv6     bool
	resolver Resolver
	log      *slog.Logger
	lines    throttle
	cfg      *Config
	numbers  []int // Query.Worker, for each worker
}

// openPortableUDP binds addr. On Windows, which tells no addresses, answers from
// a wildcard leave from the address that the routes choose: bind specific ones.
func openPortableUDP(addr netip.AddrPort, cfg *Config, r Resolver) (listener, error) {
	conn, err := openUDPSocket(cfg, "udp", addr)
	if err != nil {
		return nil, err
	}
	_ = conn.SetReadBuffer(receiveBufferBytes) // what the system gives has to do
	u := &portableUDP{conn: conn, ipv6: addr.Addr().Is6(), resolver: r, log: cfg.Log, cfg: cfg}
	if addr.Addr().IsUnspecified() {
		u.wildcard = u.tellDestination() == nil
	}
	for range udpWorkers(cfg) {
		u.numbers = append(u.numbers, cfg.nextWorker())
	}
	return u, nil
}

// tellDestination makes the socket tell which address a query came to.
func (u *portableUDP) tellDestination() error {
	if u.ipv6 {
		return ipv6.NewPacketConn(u.conn).SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface, true)
	}
	return ipv4.NewPacketConn(u.conn).SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true)
}

// serve implements listener.
func (u *portableUDP) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// A deadline in the past ends the reads under way.
	defer context.AfterFunc(ctx, func() { _ = u.conn.SetReadDeadline(time.Unix(1, 0)) })()
	errs := make([]error, len(u.numbers))
	var wg sync.WaitGroup
	for i, number := range u.numbers {
		wg.Go(func() {
			for errs[i] = errFault; errs[i] == errFault; {
				errs[i] = u.work(number)
			}
			if errs[i] != nil {
				cancel()
			}
		})
	}
	wg.Wait()
	return errors.Join(append(errs, u.conn.Close())...)
}

// work is one worker. A panic costs the datagram that it came from: then it
// returns errFault, and is to be called again.
func (u *portableUDP) work(number int) (err error) {
	var (
		q     = query.Query{Transport: query.UDP, Worker: number}
		in    = make([]byte, queryBytes)
		out   = make([]byte, 0, answerBytes)
		extra = make([]byte, 128) // more than any system's control message takes
	)
	defer func() {
		if cause := recover(); cause != nil {
			u.cfg.faults.note(cause, query.UDP.String(), q.Client)
			time.Sleep(retryAfter)
			err = errFault
		}
	}()
	failed := 0 // reads in a row
	for drain := (drainer{cfg: u.cfg}); ; {
		n, extraN, _, client, err := u.conn.ReadMsgUDPAddrPort(in, extra)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			if isTimeout(err) {
				if drain.over(u.conn) {
					return nil
				}
				continue
			}
			// About one datagram: too long for us, or (Windows) an ICMP message
			// about an earlier answer. Clients can cause both, so there is no
			// pause before a hundred in a row.
			u.complain("UDP socket did not receive, trying on", err)
			if failed++; failed > 100 {
				time.Sleep(retryAfter)
			}
			continue
		}
		failed = 0
		drain.got++
		q.Message, q.Received = in[:n], time.Now()
		u.answer(&q, out, client, extra[:extraN])
	}
}

// answer resolves q, which came from client with the control message extra, and
// sends what is appended to out.
func (u *portableUDP) answer(q *query.Query, out []byte, client netip.AddrPort, extra []byte) {
	q.Client = netip.AddrPortFrom(client.Addr().Unmap(), client.Port())
	if !answerable(q.Client) {
		return
	}
	if answer := u.resolver.Resolve(out, q); len(answer) > 0 {
		if _, _, err := u.conn.WriteMsgUDPAddrPort(answer, u.from(extra), client); err != nil {
			u.complain("UDP answer not sent", err)
		}
	}
}

// drainer tells a worker when it has answered what the socket holds. There is
// no portable way to ask the socket, so it looks for lastLook again and again
// until one look brings nothing.
type drainer struct {
	cfg   *Config
	grace time.Duration // how long at most to answer what the socket holds
	by    time.Time     // zero until ctx has ended
	got   int           // datagrams since the latest look began
}

// over is asked when a read has run into its deadline.
func (d *drainer) over(conn *net.UDPConn) bool {
	now := time.Now()
	switch {
	case d.by.IsZero():
		d.grace = min(lingering, d.cfg.now().Timeouts.Shutdown)
		d.by = now.Add(d.grace)
	case d.got == 0, now.After(d.by):
		return true
	}
	d.got = 0
	_ = conn.SetReadDeadline(now.Add(min(lastLook, d.grace)))
	return false
}

// from is the control message that makes an answer leave from the address that
// received says; the interface is left to the routes unless the address is
// link-local.
func (u *portableUDP) from(received []byte) []byte {
	switch {
	case !u.wildcard:
	case u.ipv6:
		var cm ipv6.ControlMessage
		if cm.Parse(received) == nil && cm.Dst != nil {
			reply := ipv6.ControlMessage{Src: cm.Dst}
			if cm.Dst.IsLinkLocalUnicast() {
				reply.IfIndex = cm.IfIndex
			}
			return reply.Marshal()
		}
	default:
		var cm ipv4.ControlMessage
		if cm.Parse(received) == nil && cm.Dst != nil {
			reply := ipv4.ControlMessage{Src: cm.Dst}
			return reply.Marshal()
		}
	}
	return nil
}

func (u *portableUDP) complain(what string, err error) {
	if left, ok := u.lines.allow(time.Now(), complainEvery); ok {
		u.log.Warn(what, "listener", u.conn.LocalAddr().String(), "error", err, "more", left)
	}
}

// close implements listener.
func (u *portableUDP) close() error { return u.conn.Close() }

// addr implements listener.
func (u *portableUDP) addr() net.Addr { return u.conn.LocalAddr() }
