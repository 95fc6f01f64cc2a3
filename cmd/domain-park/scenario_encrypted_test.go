package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"domainpark/listeners"
	"domainpark/query"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

func init() {
	scenarioTransports = append(scenarioTransports,
		scenarioTransport{"dot", query.DoT, func(cfg *listeners.Config) { cfg.DoT, cfg.TLS = []string{loopbackAny}, scenarioTLS() }, dialDoTClient},
		scenarioTransport{"doq", query.DoQ, func(cfg *listeners.Config) { cfg.DoQ, cfg.TLS = []string{loopbackAny}, scenarioTLS() }, dialDoQClient},
	)
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		for _, version := range []struct {
			name      string
			transport query.Transport
			client    func(t *testing.T) *http.Client
		}{
			{"http1.1", query.DoH, func(t *testing.T) *http.Client { return httpClient(t, false) }},
			{"http2", query.DoH, func(t *testing.T) *http.Client { return httpClient(t, true) }},
			{"http3", query.DoH3, http3Client},
		} {
			scenarioTransports = append(scenarioTransports, scenarioTransport{
				"doh-" + version.name + "-" + method, version.transport,
				func(cfg *listeners.Config) { cfg.DoH, cfg.TLS = []string{loopbackAny}, scenarioTLS() },
				func(t *testing.T, addr string) scenarioClient {
					return &dohClient{version.client(t), "https://" + addr + "/dns-query", method}
				},
			})
		}
	}
}

// scenarioTLS is one certificate for all scenarios.
var scenarioTLS = sync.OnceValue(func() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
})

// clientTLS trusts scenarioTLS alone.
func clientTLS(protocols ...string) *tls.Config {
	leaf, err := x509.ParseCertificate(scenarioTLS().Certificates[0].Certificate[0])
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return &tls.Config{RootCAs: roots, NextProtos: protocols}
}

func dialDoTClient(t *testing.T, addr string) scenarioClient {
	return &streamClient{dial: func() net.Conn {
		conn, err := tls.Dial("tcp", addr, clientTLS("dot"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}}
}

// dohClient asks by HTTP; a status other than 200 is no answer.
type dohClient struct {
	client *http.Client
	url    string
	method string
}

func httpClient(t *testing.T, http2 bool) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetHTTP2(http2)
	transport := &http.Transport{TLSClientConfig: clientTLS(), Protocols: protocols}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: answerWithin}
}

func http3Client(t *testing.T) *http.Client {
	transport := &http3.Transport{TLSClientConfig: clientTLS(), QUICConfig: patientQUIC()}
	t.Cleanup(func() { transport.Close() })
	return &http.Client{Transport: transport, Timeout: answerWithin}
}

func (c *dohClient) exchange(t *testing.T, message []byte, _ bool) (answer []byte, sentinels uint64) {
	t.Helper()
	url, body := c.url, io.Reader(bytes.NewReader(message))
	if c.method == http.MethodGet {
		url, body = url+"?dns="+base64.RawURLEncoding.EncodeToString(message), nil
	}
	request, err := http.NewRequestWithContext(t.Context(), c.method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "application/dns-message")
	if body != nil {
		request.Header.Set("Content-Type", "application/dns-message")
	}
	response, err := c.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		if response.StatusCode != http.StatusBadRequest {
			t.Errorf("status %s", response.Status)
		}
		return nil, 0
	}
	if kind := response.Header.Get("Content-Type"); kind != "application/dns-message" {
		t.Errorf("Content-Type %q", kind)
	}
	return answer, 0
}

// doqClient opens a stream for each query (RFC 9250 §4.2). The message ID is
// 0 on the way, as §4.2.1 asks.
type doqClient struct {
	dial func() *quic.Conn
	conn *quic.Conn // nil: the server has closed it
}

func dialDoQClient(t *testing.T, addr string) scenarioClient {
	return &doqClient{dial: func() *quic.Conn {
		conn, err := quic.DialAddr(t.Context(), addr, clientTLS("doq"), patientQUIC())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.CloseWithError(0, "") })
		return conn
	}}
}

func (c *doqClient) exchange(t *testing.T, message []byte, _ bool) (answer []byte, sentinels uint64) {
	t.Helper()
	if c.conn == nil {
		c.conn = c.dial()
	}
	ctx, cancel := context.WithTimeout(t.Context(), answerWithin)
	defer cancel()
	stream, err := c.conn.OpenStreamSync(ctx)
	if err != nil {
		t.Fatal(err)
	}
	stream.SetDeadline(time.Now().Add(answerWithin))
	sent := bytes.Clone(message)
	if len(sent) >= 2 {
		sent[0], sent[1] = 0, 0
	}
	if _, err := stream.Write(framed(sent)); err != nil {
		t.Fatal(err)
	}
	stream.Close()
	answer, err = readFramed(stream)
	if err != nil {
		if closed := (*quic.ApplicationError)(nil); errors.As(err, &closed) {
			c.conn = nil
		}
		return nil, 0
	}
	if len(answer) >= 2 && binary.BigEndian.Uint16(answer) == 0 {
		copy(answer, message[:2])
	}
	return answer, 0
}
