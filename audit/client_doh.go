package audit

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"domainpark/query"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// messageType is the media type of RFC 8484 §6.
const messageType = "application/dns-message"

// web is how HTTP gets to a server.
type web struct {
	http.Client
	url   string
	close func()
}

// https asks by POST (RFC 8484 §4.1) over HTTP/1.1 or 2, or over HTTP/3.
func (c *client) https(ctx context.Context, e endpoint, wire []byte) ([]byte, error) {
	w := c.web(e)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(wire))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", messageType)
	req.Header.Set("Accept", messageType)
	res, err := w.Do(req)
	if err != nil {
		var ue *url.Error // it would tell the URL again
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxMessageBytes+1))
	if err != nil {
		return nil, err
	}
	media, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
	switch {
	case res.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("answers with HTTP status %d", res.StatusCode)
	case strings.TrimSpace(media) != messageType:
		return nil, fmt.Errorf("answers with %q, expected %s", excerpt(media), messageType)
	case len(body) > maxMessageBytes:
		return nil, fmt.Errorf("answers with more than %d bytes", maxMessageBytes)
	}
	return body, nil
}

// web returns the one HTTP client for e.
func (c *client) web(e endpoint) *web {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.webs[e]
	if w == nil {
		w = c.newWeb(e)
		c.webs[e] = w
	}
	return w
}

// newWeb makes the HTTP client for e. Whatever the URL says, connections go to
// e's address, and no answer sends them elsewhere.
func (c *client) newWeb(e endpoint) *web {
	w := &web{url: "https://" + net.JoinHostPort(e.host(), fmt.Sprint(e.addr.Port())) + "/dns-query"}
	w.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if e.transport == query.DoH3 {
		t := &http3.Transport{
			TLSClientConfig:    c.tlsConfig(e, http3.NextProtoH3),
			DisableCompression: true,
			Dial: func(ctx context.Context, _ string, tc *tls.Config, qc *quic.Config) (*quic.Conn, error) {
				return c.network.dialQUIC(ctx, e.addr.String(), tc, qc)
			},
		}
		w.Transport, w.close = t, func() { t.Close() }
		return w
	}
	t := &http.Transport{
		TLSClientConfig:        c.tlsConfig(e, "h2", "http/1.1"),
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 64 << 10,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return c.network.dial(ctx, "tcp", e.addr.String())
		},
	}
	w.Transport, w.close = t, t.CloseIdleConnections
	return w
}
