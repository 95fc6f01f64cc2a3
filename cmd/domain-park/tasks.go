package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// tasks are what works beside the listeners. It is made by newTasks.
type tasks struct {
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	panics *atomic.Uint64
}

// newTasks makes tasks whose panics are counted in panics.
func newTasks(panics *atomic.Uint64) *tasks {
	t := &tasks{panics: panics}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	return t
}

// start runs task until end is called or all tasks end. end does not wait. It is
// not for calls beside or after t.end.
//
// A task that panics is started anew: queries are answered without any of them,
// and a certificate that is not renewed today, or a line of the log that is
// lost, is not worth the server's life.
func (t *tasks) start(name string, task func(context.Context)) (end func()) {
	ctx, cancel := context.WithCancel(t.ctx)
	t.wg.Go(func() {
		defer cancel()
		t.run(ctx, name, task)
	})
	return cancel
}

// taskRest and taskRestMost bound the pause before a task that has panicked is
// started anew. It doubles each time.
const (
	taskRest     = time.Second
	taskRestMost = time.Minute
)

func (t *tasks) run(ctx context.Context, name string, task func(context.Context)) {
	for rest := taskRest; ; rest = min(2*rest, taskRestMost) {
		err := safely(func() error { task(ctx); return nil })
		if err == nil {
			return
		}
		t.panics.Add(1)
		slog.Error("a task of the server has panicked and is started anew; please report it", "task", name, "in", rest.String(), "error", err, "stack", stackOf(err))
		select {
		case <-ctx.Done():
			return
		case <-time.After(rest):
		}
	}
}

// end ends all tasks and waits until they have.
func (t *tasks) end() {
	t.cancel()
	t.wg.Wait()
}

// panicked is a panic as an error.
type panicked struct {
	cause any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("BUG: panic: %v", p.cause) }

// safely turns a panic of f into an error.
func safely(f func() error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = &panicked{cause, debug.Stack()}
		}
	}()
	return f()
}

// stackOf is where err panicked; empty when it did not.
func stackOf(err error) string {
	if p, ok := errors.AsType[*panicked](err); ok {
		return string(p.stack)
	}
	return ""
}
