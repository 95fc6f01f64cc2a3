package certs

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"domainpark/store"
)

const (
	// orderTimeout bounds one attempt at a certificate, the wait for another
	// server's attempt included. CAs answer within seconds, or in minutes
	// when they are busy.
	orderTimeout = 10 * time.Minute

	// longestSleep is how long a keeper sleeps at most before it looks at
	// the clock and the store again: timers stand still while a machine is
	// suspended, and another server may have renewed meanwhile.
	longestSleep = time.Hour

	// foreignInterval is how often a server that can't order looks for a
	// certificate which another server orders.
	foreignInterval = time.Minute
)

// errOthersOrder is the state of a host that this server can't order for.
var errOthersOrder = errors.New("waiting for another server to order: this one has neither listen.doh nor listen.http to answer a CA's challenge on")

// keeper looks after the certificate of one ACME host. It takes its
// certificate from the store, where this server left it or another one did,
// and orders one when there is none or when it is time to renew.
type keeper struct {
	host   string
	source *Source
	wake   chan struct{} // of one element: try again now

	// These are guarded by source.mu.
	have     *issued   // nil: none yet
	renewal  time.Time // of have
	failures int       // in a row
	err      error     // the last one; nil after a success
	next     time.Time // of the next attempt after a failure
	issued   int       // certificates, by the CA
	failed   int       // attempts

	// These belong to the goroutine of run.
	unsaved   *issued // in hand but not in the store
	complaint string  // about the store, so that the log has it once
	pending   bool    // the log knows that there is no certificate yet
}

func newKeeper(s *Source, host string) *keeper {
	return &keeper{host: host, source: s, wake: make(chan struct{}, 1)}
}

// hurry has the keeper try again now, whatever it waits for.
func (k *keeper) hurry() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// run keeps the certificate until ctx ends.
func (k *keeper) run(ctx context.Context) {
	for ctx.Err() == nil {
		next := k.step(ctx)
		k.source.changed()
		timer := time.NewTimer(min(time.Until(next), longestSleep))
		select {
		case <-ctx.Done():
		case <-k.wake:
			k.forgive()
		case <-timer.C:
		}
		timer.Stop()
	}
}

// step does what is due and returns when to look again.
func (k *keeper) step(ctx context.Context) (next time.Time) {
	k.load(ctx)
	if due := k.due(); time.Now().Before(due) && !k.unkept() {
		return due
	}
	set := k.settings()
	if len(set.kinds) == 0 {
		k.announce("another server has put one in the store")
		k.setError(errOthersOrder)
		return time.Now().Add(foreignInterval)
	}
	k.announce("the CA has issued one")
	err := k.attempt(ctx, set)
	if ctx.Err() != nil {
		return time.Now()
	}
	if err != nil {
		k.fail(err)
	}
	return k.due()
}

// due is when the next attempt is: now, the zero time, when there has been none.
func (k *keeper) due() time.Time {
	k.source.mu.Lock()
	defer k.source.mu.Unlock()
	if k.failures > 0 {
		return k.next
	}
	return k.renewal
}

// unkept tells whether the certificate in hand is still to be put into the store,
// and nothing stands against trying that again: a failure has been forgiven.
func (k *keeper) unkept() bool {
	k.source.mu.Lock()
	defer k.source.mu.Unlock()
	return k.unsaved != nil && k.failures == 0
}

func (k *keeper) settings() *settings {
	k.source.mu.Lock()
	defer k.source.mu.Unlock()
	return k.source.set
}

// load takes the store's certificate when it is better than the one in hand.
func (k *keeper) load(ctx context.Context) {
	text, err := k.source.store.Get(ctx, k.host)
	var found *issued
	if err == nil {
		found, err = decodeIssued(text, k.host)
	}
	if err != nil {
		if err != store.ErrNotFound && ctx.Err() == nil {
			k.complain(err)
		}
		return
	}
	k.complaint = ""
	if k.better(found) {
		k.install(found)
		k.source.log.Info("certificate loaded from the store", "host", k.host, "expires", found.cert.Leaf.NotAfter)
	}
}

// better tells whether found is to replace the certificate in hand: it is from
// the CA of the settings and the other is not, or it is another one that lasts as
// long. Of two that end in the same second all servers serve the one in the store.
func (k *keeper) better(found *issued) bool {
	k.source.mu.Lock()
	defer k.source.mu.Unlock()
	if k.have == nil {
		return true
	}
	if ours, theirs := k.foreign(k.have), k.foreign(found); ours != theirs {
		return ours
	}
	ours, theirs := k.have.cert.Leaf, found.cert.Leaf
	return !theirs.Equal(ours) && !theirs.NotAfter.Before(ours.NotAfter)
}

// foreign tells whether i is from another CA than that of the settings. The
// caller holds mu.
func (k *keeper) foreign(i *issued) bool {
	return i.directory != "" && i.directory != k.source.set.directory
}

// complain logs once why the store's certificate can't be used.
func (k *keeper) complain(err error) {
	if err.Error() == k.complaint {
		return
	}
	k.complaint = err.Error()
	k.source.log.Error("certificate in the store can't be used", "host", k.host, "error", err)
}

// announce logs once what is served until the first certificate is there.
func (k *keeper) announce(until string) {
	k.source.mu.Lock()
	none := k.have == nil
	k.source.mu.Unlock()
	if none && !k.pending {
		k.pending = true
		k.source.log.Warn("no certificate yet: a self-signed one serves until "+until, "host", k.host)
	}
}

// attempt gets a new certificate, from another server or from the CA. It holds
// the store's lock for the host meanwhile and looks into the store again when
// it has got it: of several servers one orders, and the others find the result.
func (k *keeper) attempt(ctx context.Context, set *settings) error {
	ctx, cancel := context.WithTimeout(ctx, orderTimeout)
	defer cancel()
	unlock, err := k.source.store.Lock(ctx, "order "+k.host)
	if err != nil {
		return err
	}
	defer unlock()
	if k.unsaved == nil {
		k.load(ctx)
		if k.fresh() {
			return nil
		}
		k.unsaved, err = safely(func() (*issued, error) { return k.source.order(ctx, set, k.host) })
		if err != nil {
			return err
		}
		k.countIssued()
		k.install(k.unsaved)
		k.source.log.Info("certificate issued", "host", k.host, "issuer", k.unsaved.cert.Leaf.Issuer.String(),
			"expires", k.unsaved.cert.Leaf.NotAfter, "renewal", k.due())
	}
	text, err := k.unsaved.encode()
	if err == nil {
		err = k.source.store.Put(ctx, k.host, text)
	}
	if err != nil {
		return fmt.Errorf("the new certificate is served but can't be kept: %w", err)
	}
	k.unsaved = nil
	k.succeeded()
	return nil
}

// safely turns a panic, over a chain that the CA sent for example, into a failed
// attempt: it is not worth the server's life.
func safely[T any](f func() (T, error)) (v T, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("BUG: panic: %v\n%s", r, debug.Stack())
		}
	}()
	return f()
}

// fresh tells whether the certificate in hand is not due for renewal.
func (k *keeper) fresh() bool {
	k.source.mu.Lock()
	defer k.source.mu.Unlock()
	return k.have != nil && time.Now().Before(k.renewal)
}
