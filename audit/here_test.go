package audit

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"domainpark/listeners"
	"domainpark/policy"
	"domainpark/query"
	"domainpark/resolver"
)

// parkZone is where the name servers and the mailbox for reports live.
const parkZone = `
$ORIGIN park.example.
@    3600 SOA ns1 hostmaster 1 7200 900 1209600 3600
@    3600 NS  ns1
@    3600 NS  ns2
ns1  3600 A   127.99.0.1
ns2  3600 A   127.99.0.2
`

// startPark runs this server in the test's own process. cfg says where; its end
// is stop.
func startPark(cfg listeners.Config) (addr map[string]netip.AddrPort, stop func(), err error) {
	guard, err := policy.New(policy.Config{}, time.Now())
	if err != nil {
		return nil, nil, err
	}
	r, err := resolver.New(resolver.Config{
		NameServers: []resolver.NameServer{{Name: "ns1.park.example"}, {Name: "ns2.park.example"}},
		RUA:         []string{"reports@park.example"},
		Zones:       []resolver.Zone{{Name: "park.example", Source: resolver.Source{Name: "park.example.zone", Text: []byte(parkZone)}}},
	}, guard, func(*query.Query) {})
	if err != nil {
		return nil, nil, err
	}
	cfg.Log = slog.New(slog.DiscardHandler)
	set, err := listeners.Bind(cfg, r)
	if err != nil {
		return nil, nil, err
	}
	addr = map[string]netip.AddrPort{}
	for _, b := range set.Bound() {
		switch a := b.Addr.(type) {
		case *net.UDPAddr:
			addr[b.Transport] = a.AddrPort()
		case *net.TCPAddr:
			addr[b.Transport] = a.AddrPort()
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- set.Serve(ctx) }()
	return addr, func() { cancel(); <-done }, nil
}

// freePort is a port that is free over UDP and TCP at every IPv4 address, and
// none of those that the kernel gives to outgoing connections (ip(7),
// ip_local_port_range).
func freePort() (port uint16, err error) {
	const first, last = 10_000, 32_767
	for range 100 {
		port = uint16(first + rand.IntN(last-first))
		addr := fmt.Sprintf(":%d", port)
		var l net.Listener
		if l, err = net.Listen("tcp4", addr); err != nil {
			continue
		}
		l.Close()
		var c net.PacketConn
		if c, err = net.ListenPacket("udp4", addr); err == nil {
			c.Close()
			return port, nil
		}
	}
	return 0, err
}
