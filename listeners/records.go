package listeners

import (
	"encoding/binary"
	"os"
	"sync/atomic"
)

// Sizes of a TLS record (RFC 8446 §5.1, §5.2).
const (
	recordHeaderBytes = 5
	maxRecordBytes    = 1<<14 + 2048 // TLS 1.2 allows that much (RFC 5246 §6.2.3), 1.3 less
)

// records stands between a socket and crypto/tls, and hands over one record at a
// time, when it is complete. So it is known whether crypto/tls would have to
// wait for more: if not, what has arrived can be answered before anything is
// sent. And crypto/tls, whose buffers never shrink, has none for what is
// incomplete.
type records struct {
	*socket
	box   inbox
	left  int  // bytes of a record that is being handed over
	wait  bool // Read waits for a record; otherwise it says when there is none
	hello int  // bytes of the handshake that were handed over
	keeps bool // crypto/tls has had something large, and keeps the buffer
	spent bool // the same, but too many connections do: this one is to end
	toll  toll // what the client has paid before crypto/tls knew of it
}

// way implements passes.
func (r *records) way() *passing { return &r.passing }

// paid implements tolled.
func (r *records) paid() toll { return r.toll }

// maxKept is how many connections may live on whose crypto/tls keeps a buffer of
// up to 18 KiB: 18 MiB for all. They are not counted with messages, which go: a
// few clients that write many queries at once would have the others' refused.
const maxKept = 1024

var keptRecords atomic.Int32

// keep tells whether crypto/tls may keep a large buffer, which is so until release.
func (r *records) keep() bool {
	if !r.keeps {
		r.keeps = keptRecords.Add(1) <= maxKept
		if !r.keeps {
			keptRecords.Add(-1)
		}
	}
	return r.keeps
}

// Read implements net.Conn, for crypto/tls. It reads no more than one record.
func (r *records) Read(p []byte) (int, error) {
	for r.left == 0 {
		if r.left = r.record(); r.left > 0 {
			break
		}
		if !r.wait {
			return 0, os.ErrDeadlineExceeded // the one error after which crypto/tls goes on
		}
		r.passing.pause()
		if _, err := r.receive(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.box.unread()[:r.left])
	r.left -= n
	r.box.from += n
	if r.wait {
		r.hello += n
		if err := r.passing.resume(p[:n]); err != nil {
			return 0, err
		}
	}
	if max(r.hello, n+r.left) > busyBytes && !r.keep() {
		if r.wait {
			return 0, errBusy
		}
		r.spent = true // when it has its answers
	}
	return n, nil
}

// Write implements net.Conn.
func (r *records) Write(p []byte) (int, error) {
	if r.wait {
		r.passing.wrote(p)
	}
	return r.socket.Write(p)
}

// receive reads once from the socket.
func (r *records) receive() (int, error) {
	if err := r.box.prepare(); err != nil {
		return 0, err
	}
	return r.socket.receive(&r.box)
}

// record is the length of the next record with its header, 0 when it is not
// complete.
func (r *records) record() int { return recordIn(r.box.unread()) }

// recordIn is the length of the record that data begins with, 0 when it is not
// complete. What can't be a record is as long as what is there: crypto/tls
// knows what to say about it.
func recordIn(data []byte) int {
	const first, last = 20, 23 // change_cipher_spec to application_data, RFC 8446 §5.1
	if len(data) > 0 && (data[0] < first || data[0] > last) {
		return len(data)
	}
	if len(data) < recordHeaderBytes {
		return 0
	}
	n := recordHeaderBytes + int(binary.BigEndian.Uint16(data[3:]))
	switch {
	case n > recordHeaderBytes+maxRecordBytes:
		return len(data)
	case n > len(data):
		return 0
	}
	return n
}

// release gives back what is borrowed.
func (r *records) release() {
	r.box.release()
	if r.keeps {
		r.keeps = false
		keptRecords.Add(-1)
	}
}
