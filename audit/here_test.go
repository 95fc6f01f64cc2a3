package audit

import (
	"context"
	"log/slog"
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

// freePort is a port that is free over UDP and TCP at 127.0.0.1, and most
// likely at the other addresses of loopback.
func freePort() (uint16, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	c, err := net.ListenPacket("udp4", l.Addr().String())
	if err != nil {
		return freePort()
	}
	c.Close()
	return uint16(port), nil
}
