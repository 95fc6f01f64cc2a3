package listeners

import "sync"

// Sizes of an inbox's buffer.
const (
	// ownBytes lie in the connection itself: enough for a dozen plain queries
	// or one with padding, and all that an idle connection keeps.
	ownBytes = 512

	// busyBytes are borrowed for a client that pipelines: about a hundred
	// queries, whose answers fill one TLS record.
	busyBytes = 4096

	// recordBytes hold the longest TLS record (RFC 8446 §5.2), and fill a size
	// class of Go's allocator.
	recordBytes = 18 << 10
)

// bufferPool lends out buffers of one size, as pointers so that giving one back
// allocates nothing.
type bufferPool struct {
	size int
	sync.Pool
}

func newBufferPool(size int) *bufferPool {
	p := &bufferPool{size: size}
	p.New = func() any { b := make([]byte, size); return &b }
	return p
}

// lenders are the pools that an inbox borrows from, smallest buffers first. The
// last holds the longest message with its length.
var lenders = [...]*bufferPool{
	newBufferPool(busyBytes),
	newBufferPool(recordBytes),
	newBufferPool(lengthBytes + maxMessageBytes),
}

// inbox is what a connection has received and not answered yet. It grows with
// the bytes that have arrived, never with a length that was promised. The zero
// value is empty. Use it in this order: read into space, tell took, call next
// until there is nothing, settle.
type inbox struct {
	from, to int         // buf[from:to] is unanswered
	last     int         // bytes of the latest read, at least ownBytes if it filled own
	lender   *bufferPool // where borrowed came from; nil: own is in use
	borrowed *[]byte
	ticket   ticket // for a buffer above busyBytes; only who asks reserve has one
	own      [ownBytes]byte
}

func (b *inbox) buf() []byte {
	if b.lender != nil {
		return *b.borrowed
	}
	return b.own[:]
}

// space is where the next bytes go; settle saw to it that it is not empty. When
// the latest read would have filled our own buffer, it is a borrowed one.
func (b *inbox) space() []byte {
	if b.lender == nil && b.to == 0 && b.last >= ownBytes {
		b.move(nil, lenders[0])
	}
	return b.buf()[b.to:]
}

// vacate gives a borrowed buffer back while there is nothing in it. Space
// borrows one again.
func (b *inbox) vacate() {
	if b.lender != nil && b.empty() {
		b.from, b.to = 0, 0
		b.move(nil, nil)
	}
}

// took says that n bytes were read into space.
func (b *inbox) took(n int) {
	b.to, b.last = b.to+n, n
	if n > 0 && b.to == ownBytes && b.lender == nil {
		b.last = ownBytes
	}
}

// put makes data, at most busyBytes, what was read. There was nothing before.
func (b *inbox) put(data []byte) {
	if len(data) > ownBytes {
		b.move(nil, lenders[0])
	}
	copy(b.buf(), data)
	b.took(len(data))
}

// empty tells whether there is nothing unanswered.
func (b *inbox) empty() bool { return b.from == b.to }

// unread is what is unanswered.
func (b *inbox) unread() []byte { return b.buf()[b.from:b.to] }

// next returns the next complete message, nil when there is none, or errShort.
// The message is valid until settle.
func (b *inbox) next() ([]byte, error) {
	message, rest, err := frame(b.unread())
	b.from = b.to - len(rest)
	return message, err
}

// reserve tells whether there is memory for what settle is about to borrow: see
// ticket.
func (b *inbox) reserve() bool {
	return b.to-b.from < busyBytes || b.ticket.take()
}

// prepare makes room for the next read: reserve, and settle.
func (b *inbox) prepare() error {
	if !b.reserve() {
		return errBusy
	}
	b.settle()
	return nil
}

// settle moves the beginning of an incomplete message to the front of a buffer
// that fits it: a borrowed one when it is long or when the latest read would
// have filled our own, and otherwise our own.
func (b *inbox) settle() {
	kept := b.unread()
	need := len(kept) + 1
	if b.last >= ownBytes {
		need = max(need, busyBytes)
	}
	var lender *bufferPool
	if need > ownBytes {
		for _, lender = range lenders {
			if lender.size >= need {
				break
			}
		}
	}
	if lender == b.lender {
		copy(b.buf(), kept)
	} else {
		b.move(kept, lender)
	}
	b.from, b.to = 0, len(kept)
}

// move takes another buffer, our own when lender is nil, copies kept into it
// and gives back the one before.
func (b *inbox) move(kept []byte, lender *bufferPool) {
	before, borrowed := b.lender, b.borrowed
	b.lender, b.borrowed = lender, nil
	if lender != nil {
		b.borrowed = lender.Get().(*[]byte)
	}
	copy(b.buf(), kept)
	if before != nil {
		before.Put(borrowed)
	}
	if lender == nil || lender.size <= busyBytes {
		b.ticket.giveBack()
	}
}

// release gives back what is borrowed and forgets what is unanswered.
func (b *inbox) release() {
	b.from, b.to = 0, 0
	if b.lender != nil {
		b.move(nil, nil)
	}
}
