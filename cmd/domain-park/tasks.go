package main

import (
	"context"
	"sync"
)

// tasks are what works beside the listeners. It is made by newTasks.
type tasks struct {
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func newTasks() *tasks {
	t := new(tasks)
	t.ctx, t.cancel = context.WithCancel(context.Background())
	return t
}

// start runs task until end is called or all tasks end. end does not wait. It is
// not for calls beside or after t.end.
func (t *tasks) start(task func(context.Context)) (end func()) {
	ctx, cancel := context.WithCancel(t.ctx)
	t.wg.Go(func() {
		defer cancel()
		task(ctx)
	})
	return cancel
}

// end ends all tasks and waits until they have.
func (t *tasks) end() {
	t.cancel()
	t.wg.Wait()
}
