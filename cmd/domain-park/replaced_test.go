package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"
)

// certificateClient is a client of one transport that trusts one CA.
type certificateClient struct {
	name string
	// dial opens a connection of its own. ask asks over it and returns the
	// serial number of the certificate that it was opened with.
	dial func() (ask func() (serial int64, err error), hangUp func(), err error)
}

// certificateClients speak DoT, DoH and DoQ with srv.
func certificateClients(t *testing.T, srv *running, roots *x509.CertPool) []certificateClient {
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	transport := &quic.Transport{Conn: socket}
	t.Cleanup(func() {
		transport.Close()
		socket.Close()
	})
	doq, err := net.ResolveUDPAddr("udp", srv.addr["doq"][0])
	if err != nil {
		t.Fatal(err)
	}
	query := dohQuery(t)
	verifying := func(protocols ...string) *tls.Config {
		return &tls.Config{RootCAs: roots, ServerName: testHost, NextProtos: protocols}
	}
	return []certificateClient{
		{"DoT", func() (func() (int64, error), func(), error) {
			dialer := &net.Dialer{Timeout: answerWithin}
			conn, err := tls.DialWithDialer(dialer, "tcp", srv.addr["dot"][0], verifying("dot"))
			if err != nil {
				return nil, nil, err
			}
			return func() (int64, error) {
				conn.SetDeadline(time.Now().Add(answerWithin))
				if _, err := conn.Write(framed(query)); err != nil {
					return 0, err
				}
				answer, err := readFramed(conn)
				return serialOf(conn.ConnectionState()), parkedAnswer(answer, err)
			}, func() { conn.Close() }, nil
		}},
		{"DoH", func() (func() (int64, error), func(), error) {
			transport := &http.Transport{TLSClientConfig: verifying(), ForceAttemptHTTP2: true, MaxConnsPerHost: 1}
			client := &http.Client{Transport: transport, Timeout: answerWithin}
			return func() (int64, error) {
				response, err := client.Post("https://"+srv.addr["doh"][0]+"/dns-query", "application/dns-message", bytes.NewReader(query))
				if err != nil {
					return 0, err
				}
				defer response.Body.Close()
				answer, err := io.ReadAll(response.Body)
				return serialOf(*response.TLS), parkedAnswer(answer, err)
			}, transport.CloseIdleConnections, nil
		}},
		{"DoQ", func() (func() (int64, error), func(), error) {
			ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
			defer cancel()
			conn, err := transport.Dial(ctx, doq, verifying("doq"), patientQUIC())
			if err != nil {
				return nil, nil, err
			}
			return func() (int64, error) {
				stream, err := conn.OpenStream()
				if err != nil {
					return 0, err
				}
				stream.SetDeadline(time.Now().Add(answerWithin))
				if _, err := stream.Write(framed(query)); err != nil {
					return 0, err
				}
				stream.Close()
				answer, err := readFramed(stream)
				return serialOf(conn.ConnectionState().TLS), parkedAnswer(answer, err)
			}, func() { conn.CloseWithError(0, "") }, nil
		}},
	}
}

func serialOf(state tls.ConnectionState) int64 { return state.PeerCertificates[0].SerialNumber.Int64() }

// parkedAnswer tells what is wrong with an answer to dohQuery.
func parkedAnswer(answer []byte, err error) error {
	if err != nil {
		return err
	}
	m := new(dns.Msg)
	if err := m.Unpack(answer); err != nil {
		return err
	}
	if m.Rcode != dns.RcodeSuccess || len(m.Answer) != 1 {
		return errors.New(m.String())
	}
	return nil
}

// TestCertificateReplacedOnDisk changes the certificate's files under clients
// that open 1,000 connections each, one after another, and ask over each: all
// are answered, with the new certificate when the log has told of it. How soon that
// is, is for the tests of package certs to hold, which have a clock of their own.
// Connections that are open live on.
func TestCertificateReplacedOnDisk(t *testing.T) {
	const (
		connections = 1000
		first       = connections / 3 // made before the change
		before      = 2               // serial numbers
		after       = 3
		patience    = 5 * time.Minute
	)
	ca, dir := newAuthority(t), t.TempDir()
	srv := start(t, "--config", encryptedSettings(t, encryptedListen+"\npolicy: {timeouts: {handshake: 1m, idle: 10m}}\n", ca.issue(dir, before, testHost)))
	clients := certificateClients(t, srv, ca.pool())

	opened := map[string]func() (int64, error){}
	for _, c := range clients {
		ask, hangUp, err := c.dial()
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		t.Cleanup(hangUp)
		if serial, err := ask(); err != nil || serial != before {
			t.Fatalf("%s: certificate %d, %v", c.name, serial, err)
		}
		opened[c.name] = ask
	}

	giveUp := time.Now().Add(patience)
	replaced := make(chan struct{}) // closed when it is
	var firsts, all sync.WaitGroup
	for _, c := range clients {
		firsts.Add(1)
		all.Go(func() {
			reached := sync.OnceFunc(firsts.Done)
			defer reached()
			changed := false
			for n := 1; n <= connections || !changed; n++ {
				if time.Now().After(giveUp) {
					t.Errorf("%s: gave up after %d connections, the new certificate seen: %t", c.name, n-1, changed)
					return
				}
				late := false
				select {
				case <-replaced:
					late = true
				default:
				}
				serial, err := askOnce(c)
				if err != nil || serial != before && serial != after {
					t.Errorf("%s: connection %d: certificate %d, %v", c.name, n, serial, err)
					return
				}
				changed = changed || serial == after
				if late && serial == before {
					t.Errorf("%s: connection %d: the old certificate after the new one was loaded", c.name, n)
					return
				}
				if n == first {
					reached()
				}
			}
		})
	}
	firsts.Wait()
	ca.issue(dir, after, testHost)
	srv.await("certificate loaded")
	close(replaced)
	all.Wait()

	for name, ask := range opened {
		if serial, err := ask(); err != nil || serial != before {
			t.Errorf("%s: the connection from before the change: certificate %d, %v", name, serial, err)
		}
	}
	stopsInOrder(t, srv)
}

// askOnce opens a connection, asks and closes it.
func askOnce(c certificateClient) (serial int64, err error) {
	ask, hangUp, err := c.dial()
	if err != nil {
		return 0, err
	}
	defer hangUp()
	return ask()
}
