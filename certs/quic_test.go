package certs

import (
	"context"
	"crypto/tls"
	"net"
	"testing"

	"github.com/quic-go/quic-go"

	"domainpark/store"
)

// doqServer serves QUIC with the certificate and the keys of s, on loopback.
func doqServer(t *testing.T, s *Source) net.Addr {
	t.Helper()
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(t, err)
	keys := s.QUICKeys()
	transport := &quic.Transport{Conn: socket,
		TokenGeneratorKey: (*quic.TokenGeneratorKey)(&keys.Token), StatelessResetKey: (*quic.StatelessResetKey)(&keys.Reset)}
	cfg := s.TLS().Clone()
	cfg.NextProtos = []string{"doq"}
	l, err := transport.ListenEarly(cfg, &quic.Config{Allow0RTT: true})
	must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, err := l.Accept(context.Background()); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		l.Close()
		transport.Close()
		socket.Close()
		<-done
	})
	return l.Addr()
}

// TestQUICTicketsAreTheFleetsToo has one client go from server to server: with
// the ticket of the first it is resumed, and lets its first packet carry data,
// at the second.
func TestQUICTicketsAreTheFleetsToo(t *testing.T) {
	keys := store.NewKeys([32]byte{1})
	log := (&journal{}).logger()
	var addrs []net.Addr
	for range 2 {
		addrs = append(addrs, doqServer(t, newSource(t, Config{Keys: &keys, Log: log})))
	}
	tickets := make(chan struct{}, 8)
	client := resumer(tls.VersionTLS13)
	client.NextProtos = []string{"doq"}
	client.ClientSessionCache = noisyCache{client.ClientSessionCache, tickets}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for i, addr := range addrs {
		c, err := quic.DialAddrEarly(ctx, addr.String(), client, &quic.Config{})
		must(t, err)
		<-c.HandshakeComplete()
		state := c.ConnectionState()
		if later := i > 0; state.TLS.DidResume != later || state.Used0RTT != later {
			t.Errorf("server %d: resumed %v, 0-RTT %v, want %v", i, state.TLS.DidResume, state.Used0RTT, later)
		}
		select {
		case <-tickets:
		case <-ctx.Done():
			t.Fatal("no session ticket")
		}
		c.CloseWithError(0, "")
	}
}

// noisyCache tells when a ticket has come.
type noisyCache struct {
	tls.ClientSessionCache
	put chan<- struct{}
}

func (c noisyCache) Put(key string, session *tls.ClientSessionState) {
	c.ClientSessionCache.Put(key, session)
	if session != nil {
		c.put <- struct{}{}
	}
}
