package listeners

import (
	"errors"
	"sync/atomic"
)

// maxLarge is how many messages above 4 KiB may be arriving at once, over all
// connections: clients may send up to 64 KiB on each of thousands, or on each of
// a hundred streams of one, yet no sensible query has 4 KiB. It bounds their
// memory to 64 MiB.
const maxLarge = 1024

var largeMessages atomic.Int32

// errBusy says that too many large messages are arriving.
var errBusy = errors.New("too many large messages at once")

// ticket is the right to hold one large message. The zero value has none.
type ticket struct{ taken bool }

// take tells whether t may hold a large message, which is so until giveBack.
func (t *ticket) take() bool {
	if t.taken {
		return true
	}
	if largeMessages.Add(1) > maxLarge {
		largeMessages.Add(-1)
		return false
	}
	t.taken = true
	return true
}

// giveBack ends the right. It may be called without one.
func (t *ticket) giveBack() {
	if t.taken {
		t.taken = false
		largeMessages.Add(-1)
	}
}
