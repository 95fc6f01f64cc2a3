package listeners

import (
	"errors"
	"net/http"
	"strconv"
)

// h2Writer is the http.ResponseWriter of requests that are no DNS queries. What
// is written waits until the handler has returned.
type h2Writer struct {
	header http.Header
	status int // 0: 200
	body   []byte
}

// maxH2Body bounds what a handler may answer: many times the page.
const maxH2Body = 1 << 20

var errH2Body = errors.New("the answer is too long for HTTP/2")

// Header implements http.ResponseWriter.
func (w *h2Writer) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *h2Writer) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
	}
}

// Write implements http.ResponseWriter.
func (w *h2Writer) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if len(w.body)+len(p) > maxH2Body {
		return 0, errH2Body
	}
	w.body = append(w.body, p...)
	return len(p), nil
}

// serveHTTP lets dohHandler answer a request that is no plain query. It gets no
// body: none of its answers depends on one.
func (c *h2Conn) serveHTTP(s *h2Stream) error {
	r := s.request
	s.request = nil
	c.drop(s)
	more := c.touch()
	w := &h2Writer{header: make(http.Header)}
	c.server.handler.serve(w, r, nil) // respond counts
	return c.finish(c.respond(s, w), more)
}

// refuse answers a request that is no DNS query, or breaks off.
func (c *h2Conn) refuse(s *h2Stream, e *httpError) error {
	more := c.touch()
	return c.finish(c.say(s, c.server.handler.charged(e, c.client, c.received)), more)
}

// say sends e with the fields of an answer to a query.
func (c *h2Conn) say(s *h2Stream, e *httpError) error {
	c.drop(s)
	w := &h2Writer{header: make(http.Header)}
	c.server.handler.common(w.header)
	w.header["Access-Control-Allow-Origin"] = anyOrigin
	refuse(w, e)
	return c.respond(s, w)
}

// respond sends what a handler has written.
func (c *h2Conn) respond(s *h2Stream, w *h2Writer) error {
	w.WriteHeader(http.StatusOK)
	c.refusals.note(w.status)
	bodyless := w.status == http.StatusNoContent || w.status == http.StatusNotModified
	if bodyless {
		w.body = nil
	} else if w.header["Content-Length"] == nil && !s.head {
		w.header["Content-Length"] = []string{strconv.Itoa(len(w.body))}
	}
	end := s.head || bodyless || len(w.body) == 0
	c.appendBlock(s.id, end, c.appendHeader(nil, w.status, w.header))
	if end {
		c.sent(s)
		return nil
	}
	return c.send(s, w.body)
}

// appendBlock sends a header block, in as many frames as it takes.
func (c *h2Conn) appendBlock(id uint32, end bool, block []byte) {
	kind, flags := h2Headers, uint8(0)
	if end {
		flags = h2EndStream
	}
	for {
		n := min(len(block), h2MaxPayload)
		if n == len(block) {
			flags |= h2EndHeaders
		}
		c.work.out = append(appendH2Header(c.work.out, n, kind, flags, id), block[:n]...)
		if block = block[n:]; len(block) == 0 {
			return
		}
		kind, flags = h2Continuation, 0
	}
}
