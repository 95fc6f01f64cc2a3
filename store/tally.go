package store

import (
	"context"
	"errors"
	"sync/atomic"
)

// Operation is what was done with a store, for metrics.
type Operation uint8

// The operations. Seed is a Read, and where it makes the seed a Lock and a Write.
const (
	Read Operation = iota
	Write
	Remove
	Lock
	Operations // how many there are
)

var operationNames = [Operations]string{"read", "write", "remove", "lock"}

// String is the operation's name in metrics.
func (o Operation) String() string {
	if o >= Operations {
		return "BUG"
	}
	return operationNames[o]
}

// Tally is how many operations of one kind succeeded and how many failed.
type Tally struct{ Succeeded, Failed uint64 }

// tally counts operations. The zero value is ready; it is safe for concurrent use.
type tally [Operations]struct{ succeeded, failed atomic.Uint64 }

// add counts an operation that ended with err. A key without a value is an
// answer like another, and who gives up waiting because the process ends has
// met no fault of the store's.
func (t *tally) add(o Operation, err error) {
	switch {
	case err == nil, errors.Is(err, ErrNotFound):
		t[o].succeeded.Add(1)
	case errors.Is(err, context.Canceled):
	default:
		t[o].failed.Add(1)
	}
}

// Done is how the operations of kind o have ended since Open, except for those
// whose caller gave up.
func (d *Dir) Done(o Operation) Tally {
	return Tally{d.done[o].succeeded.Load(), d.done[o].failed.Load()}
}
