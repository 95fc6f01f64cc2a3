package load

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// quicConfig lets many streams be on their way.
var quicConfig = &quic.Config{MaxIdleTimeout: MaxDuration, HandshakeIdleTimeout: patience}

// dialQUIC connects from a socket of its own, which close closes too.
func dialQUIC(ctx context.Context, c *Config, config *tls.Config) (conn *quic.Conn, hangUp func(), err error) {
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, nil, err
	}
	transport := &quic.Transport{Conn: socket}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	conn, err = transport.Dial(ctx, net.UDPAddrFromAddrPort(c.Server), config, quicConfig)
	if err != nil {
		transport.Close()
		socket.Close()
		return nil, nil, err
	}
	return conn, func() {
		_ = conn.CloseWithError(0, "") // DOQ_NO_ERROR (RFC 9250 §8.4)
		transport.Close()
		socket.Close()
	}, nil
}

// askQUIC asks over one connection of DoQ (RFC 9250), each query on a stream of
// its own.
func askQUIC(ctx context.Context, c *Config, n *tally) error {
	conn, hangUp, err := dialQUIC(ctx, c, c.tlsConfig("doq"))
	if err != nil {
		return err
	}
	defer hangUp()
	return n.several(ctx, c, func(ctx context.Context, query []byte) ([]byte, error) { return askDoQ(ctx, conn, query) })
}

// connectQUIC asks over DoQ, each query over a connection of its own.
func connectQUIC(ctx context.Context, c *Config, n *tally) error {
	config := c.tlsConfig("doq")
	for ctx.Err() == nil {
		begin := time.Now()
		conn, hangUp, err := dialQUIC(ctx, c, config)
		if err == nil {
			n.connected(conn.ConnectionState().TLS)
			var m []byte
			if m, err = askDoQ(ctx, conn, n.query(c)); err == nil {
				n.answer(m, time.Since(begin))
			}
			hangUp()
		}
		if err != nil {
			n.lost++
			n.problem(err)
		}
	}
	return nil
}

func askDoQ(ctx context.Context, conn *quic.Conn, query []byte) ([]byte, error) {
	stream, err := conn.OpenStreamSync(context.WithoutCancel(ctx))
	if err != nil {
		return nil, err
	}
	_ = stream.SetDeadline(time.Now().Add(patience))
	if _, err := stream.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)); err != nil {
		return nil, err
	}
	if err := stream.Close(); err != nil {
		return nil, err
	}
	m, err := io.ReadAll(stream)
	if err == nil && len(m) < 2 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	return m[2:], nil
}

// askHTTP3 asks over one connection of DoH over HTTP/3, by POST.
func askHTTP3(ctx context.Context, c *Config, n *tally) error {
	conn, hangUp, err := dialQUIC(ctx, c, c.tlsConfig("h3"))
	if err != nil {
		return err
	}
	defer hangUp()
	client := (&http3.Transport{DisableCompression: true}).NewClientConn(conn)
	url := "https://" + c.ServerName + "/dns-query"
	return n.several(ctx, c, func(ctx context.Context, query []byte) ([]byte, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(query))
		if err != nil {
			return nil, err
		}
		request.Header.Set("Content-Type", dnsMessage)
		request.Header.Set("Accept", dnsMessage)
		response, err := client.RoundTrip(request)
		if err != nil {
			return nil, err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("status %s", response.Status)
		}
		return io.ReadAll(response.Body)
	})
}

// several asks a window of queries at once, one after another in each place.
func (n *tally) several(ctx context.Context, c *Config, ask func(context.Context, []byte) ([]byte, error)) error {
	var all sync.WaitGroup
	var lock sync.Mutex // of n
	for range c.Window {
		all.Go(func() {
			for ctx.Err() == nil {
				lock.Lock()
				query := n.query(c)
				lock.Unlock()
				begin := time.Now()
				m, err := ask(ctx, query)
				after := time.Since(begin)
				lock.Lock()
				if err == nil {
					n.answer(m, after)
				} else {
					n.lost++
					n.problem(err)
				}
				lock.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	all.Wait()
	return nil
}
