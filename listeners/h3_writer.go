package listeners

import (
	"bytes"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quic-go/qpack"
	"github.com/quic-go/quic-go/quicvarint"
)

// h3Writer is the http.ResponseWriter of requests that have not the usual form. What a
// handler writes goes out as it comes, each piece in a DATA frame of its own.
type h3Writer struct {
	to      streamWriter
	request *h3Stream // whose fault, if there is one, is the answer
	head    bool      // the method was HEAD

	header http.Header
	status int   // 0: not yet
	length int   // bytes written
	err    error // the first one
	begun  bool  // the header is out
}

// streamWriter is what an h3Writer needs of a *quic.Stream.
type streamWriter interface {
	Write([]byte) (int, error)
}

// Header implements http.ResponseWriter.
func (w *h3Writer) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *h3Writer) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
	}
}

// Write implements http.ResponseWriter.
func (w *h3Writer) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	switch {
	case w.bodyless():
		return 0, http.ErrBodyNotAllowed
	case len(p) == 0:
		return 0, w.err
	}
	w.length += len(p)
	if w.head {
		return len(p), nil // it is only counted
	}
	out := w.begin()
	out = quicvarint.Append(append(out, h3Data), uint64(len(p)))
	if len(p) <= keptBytes { // in one packet, if it fits
		w.send(append(out, p...))
	} else {
		w.send(out)
		w.send(p)
	}
	if w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

// bodyless tells whether the status has no body (RFC 9110 §6.4.1).
func (w *h3Writer) bodyless() bool {
	return w.status == http.StatusNoContent || w.status == http.StatusNotModified
}

// begin returns the HEADERS frame, if it is not out.
func (w *h3Writer) begin() []byte {
	if w.begun {
		return nil
	}
	w.begun = true
	var section bytes.Buffer
	e := qpack.NewEncoder(&section)
	write := func(name, value string) { _ = e.WriteField(qpack.HeaderField{Name: name, Value: value}) } // a bytes.Buffer takes everything
	write(":status", strconv.Itoa(w.status))
	for _, name := range slices.Sorted(maps.Keys(w.header)) {
		for _, value := range w.header[name] {
			write(strings.ToLower(name), value)
		}
	}
	section.Write(dateLine(time.Now()))
	return append(quicvarint.Append([]byte{h3Headers}, uint64(section.Len())), section.Bytes()...)
}

// finish sends what is left to send when the handler has returned. Without an error the
// client has been sent a whole response.
func (w *h3Writer) finish() error {
	w.WriteHeader(http.StatusOK)
	if !w.begun && !w.bodyless() && (!w.head || w.length > 0) && w.header["Content-Length"] == nil {
		w.header["Content-Length"] = []string{strconv.Itoa(w.length)}
	}
	if out := w.begin(); out != nil {
		w.send(out)
	}
	return w.err
}

// send sends p, unless the request has turned out to be none.
func (w *h3Writer) send(p []byte) {
	if w.err == nil && w.request.fault != nil {
		w.err = w.request.fault
	}
	if w.err == nil {
		_, w.err = w.to.Write(p)
	}
}
