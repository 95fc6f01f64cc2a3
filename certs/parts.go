package certs

import (
	"context"
	"sync"
)

// parts are the goroutines of Run. A panic of one ends the others and goes on
// where Run was called: who runs it decides what a panic is worth.
type parts struct {
	cancel context.CancelFunc // ends all parts
	wg     sync.WaitGroup
	mu     sync.Mutex
	failed error // the first panic
}

func (p *parts) start(part func()) {
	p.wg.Go(func() {
		_, err := safely(func() (struct{}, error) { part(); return struct{}{}, nil })
		if err == nil {
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.failed == nil {
			p.failed = err
		}
		p.cancel()
	})
}

// end is for the deferred call of Run. It waits until all parts have ended.
func (p *parts) end() {
	p.cancel()
	p.wg.Wait()
	if p.failed != nil {
		panic(p.failed)
	}
}
