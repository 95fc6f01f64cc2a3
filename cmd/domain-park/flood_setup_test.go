//go:build linux

package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"domainpark/listeners"
	"domainpark/query"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// A flood here is at most this many queries, in bursts of so many at each tick:
// 20,000 a second, four hundred times what one client is allowed for a domain.
const (
	floodTicks = 1000
	floodTick  = time.Millisecond
	floodBurst = 20

	// floodAhead is how many queries may be under way, so that no socket's
	// buffer overflows: then every query is accounted for, however slow the
	// machine is.
	floodAhead = 128

	// honestTick makes 25 queries a second, half of what is allowed.
	honestTick = 40 * time.Millisecond
)

// field is a network with a server, with clients, and with somebody who lies
// about where he is.
type field struct {
	server    netip.Addr
	host      netip.Addr // in whose name the lies are told
	neighbour netip.Addr // in the same prefix
	stranger  netip.Addr // in another

	// Where the server, the clients and the liar make their sockets.
	atServer, atClients, atLiar func(func())
}

// loopback is a field where everybody has any address he likes.
func loopbackField() *field {
	here := func(f func()) { f() }
	return &field{
		server:    netip.MustParseAddr("127.0.0.1"),
		host:      netip.MustParseAddr("127.50.1.1"),
		neighbour: netip.MustParseAddr("127.50.1.2"),
		stranger:  netip.MustParseAddr("127.99.0.1"),
		atServer:  here, atClients: here, atLiar: here,
	}
}

// within is the i-th address of the prefix of so many bits around the host.
// Prefixes are those that limits are kept for, so that of IPv6 only the /64 differs.
func (f *field) within(bits, i int) netip.Addr {
	a := f.host.AsSlice()
	switch last := len(a) - 1; bits {
	case 24:
		a[last] = byte(i)
	case 20:
		a[last-1], a[last] = a[last-1]&0xf0|byte(i>>8)&0x0f, byte(i)
	case 56:
		a[7] = byte(i)
	case 48:
		a[6], a[7] = byte(i>>8), byte(i)
	}
	addr, _ := netip.AddrFromSlice(a)
	return addr
}

// prefix and network are the lengths of the two networks around a client that
// have limits of their own.
func (f *field) prefix() int  { return map[bool]int{true: 24, false: 56}[f.host.Is4()] }
func (f *field) network() int { return map[bool]int{true: 20, false: 48}[f.host.Is4()] }

// floodSettings are the defaults, but for loopback being nobody special.
const floodSettings = `
nameservers: [{name: ns1.park.example, addresses: [192.0.2.1]}, {name: ns2.park.example}]
policy: {trust: []}
`

// flood is one liar and those whom the answers reach.
type flood struct {
	t       *testing.T
	field   *field
	srv     *server
	server  netip.AddrPort
	liar    *net.UDPConn
	victims *net.UDPConn // the liar's own where his addresses are no lies

	sent             uint64
	whole, truncated atomic.Uint64 // answers that reached the victims
}

func newFlood(t *testing.T, on *field) *flood {
	t.Helper()
	f := &flood{t: t, field: on}
	s := &scenario{settings: floodSettings}
	on.atServer(func() {
		var addrs map[string]string
		listen := net.JoinHostPort(on.server.String(), freePort(t)) // one for UDP and TCP, as resolvers expect
		f.srv, addrs = s.serve(t, scenarioTransport{listen: func(cfg *listeners.Config) {
			cfg.UDP, cfg.TCP = []string{listen}, []string{listen}
		}})
		f.server = netip.MustParseAddrPort(addrs["udp"])
	})
	on.atClients(func() { f.victims = f.bind(0) })
	f.liar = f.victims
	if !on.server.IsLoopback() {
		port := f.victims.LocalAddr().(*net.UDPAddr).Port
		on.atLiar(func() { f.liar = f.bind(port) })
	}
	read := make(chan struct{})
	go func() {
		f.read()
		close(read)
	}()
	t.Cleanup(func() {
		f.victims.Close()
		<-read
	})
	return f
}

// bind listens on every address there is.
func (f *flood) bind(port int) *net.UDPConn {
	f.t.Helper()
	family := map[bool]string{true: "udp4", false: "udp6"}[f.field.server.Is4()]
	conn, err := net.ListenUDP(family, &net.UDPAddr{Port: port})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { conn.Close() })
	return conn
}

// read counts what arrives.
func (f *flood) read() {
	b := make([]byte, dns.MaxMsgSize)
	for {
		n, err := f.victims.Read(b)
		switch {
		case err != nil:
			return
		case n > 2 && b[2]&2 != 0: // TC
			f.truncated.Add(1)
		default:
			f.whole.Add(1)
		}
	}
}

// run sends the flood for so many ticks. lie says what query i is, and from whom.
func (f *flood) run(ticks int, lie func(i int) (from netip.Addr, message []byte)) {
	f.t.Helper()
	tick := time.NewTicker(floodTick)
	defer tick.Stop()
	for range ticks {
		<-tick.C
		for range floodBurst {
			if int64(f.sent)-int64(f.ended()) >= floodAhead {
				break
			}
			from, message := lie(int(f.sent))
			if _, _, err := f.liar.WriteMsgUDPAddrPort(message, sourceAddress(from), f.server); err != nil {
				f.t.Fatalf("as %s: %v", from, err)
			}
			f.sent++
		}
	}
}

// ended is how many queries have been dropped, and how many of the flood answered.
func (f *flood) ended() uint64 {
	return f.whole.Load() + f.truncated.Load() + f.srv.counters.Snapshot().Ended(query.UDP, query.Dropped)
}

// settle waits until everything that was sent has ended, and compares what
// arrived with what the server says it has sent, some of it to others.
func (f *flood) settle(others uint64) {
	f.t.Helper()
	f.await("the end of every query", func() bool { return f.ended() == f.sent })
	outcomes := map[string]uint64{}
	for _, c := range f.srv.guard.Counters() {
		if c.Name == "responses_total" {
			outcomes[c.Labels[3]] += c.Value
		}
	}
	if got, want := f.whole.Load()+others, outcomes["sent"]+outcomes["exempt"]; got != want {
		f.t.Errorf("%d answers arrived, the server sent %d", got, want)
	}
	if got, want := f.truncated.Load(), outcomes["slipped"]; got != want {
		f.t.Errorf("%d truncated answers arrived, the server sent %d", got, want)
	}
}

func (f *flood) await(what string, happened func() bool) {
	f.t.Helper()
	for deadline := time.Now().Add(answerWithin); !happened(); {
		if time.Now().After(deadline) {
			f.t.Fatalf("no sign of %s: %d queries were sent, %d ended", what, f.sent, f.ended())
		}
		<-time.After(time.Millisecond)
	}
}

// sourceAddress is a control message that makes a datagram come from an address.
func sourceAddress(from netip.Addr) []byte {
	if from.Is4() {
		return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: from.As4()})
	}
	return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: from.As16()})
}

// floodQuery asks for TXT, with a cookie when it is not empty.
func floodQuery(t *testing.T, name, cookie string) []byte {
	m := new(dns.Msg).SetQuestion(name, dns.TypeTXT)
	if cookie != "" {
		m.SetEdns0(1232, false)
		m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: cookie}}
	}
	wire, err := m.Pack()
	if err != nil {
		t.Error(err)
	}
	return wire
}

// honestClient asks now and then.
type honestClient struct {
	t        *testing.T
	from     netip.Addr
	conn     *net.UDPConn
	answered uint64
	failed   error
}

func (f *flood) honest(from netip.Addr) *honestClient {
	f.t.Helper()
	h := &honestClient{t: f.t, from: from}
	f.field.atClients(func() {
		var err error
		if h.conn, err = net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), net.UDPAddrFromAddrPort(f.server)); err != nil {
			f.t.Fatal(err)
		}
	})
	f.t.Cleanup(func() { h.conn.Close() })
	return h
}

// ask asks about the domain that is flooded, until ended is closed or an answer
// does not come, or is not whole.
func (h *honestClient) ask(ended <-chan struct{}) {
	tick := time.NewTicker(honestTick)
	defer tick.Stop()
	b := make([]byte, dns.MaxMsgSize)
	for {
		message := floodQuery(h.t, fmt.Sprintf("h%d.example.com.", h.answered), "")
		binary.BigEndian.PutUint16(message, uint16(h.answered))
		if _, h.failed = h.conn.Write(message); h.failed != nil {
			return
		}
		h.conn.SetReadDeadline(time.Now().Add(answerWithin))
		n, err := h.conn.Read(b)
		m := new(dns.Msg)
		if err == nil {
			err = m.Unpack(b[:n])
		}
		if err == nil && (m.Id != uint16(h.answered) || m.Truncated || len(m.Answer) != 1) {
			err = fmt.Errorf("got %s", m)
		}
		if h.failed = err; err != nil {
			return
		}
		h.answered++
		select {
		case <-ended:
			return
		case <-tick.C:
		}
	}
}
