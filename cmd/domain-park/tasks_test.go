package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestTaskThatPanicsIsStartedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var panics atomic.Uint64
		all := newTasks(&panics)
		var began []time.Duration
		start := time.Now()
		all.start("faulty", func(ctx context.Context) {
			began = append(began, time.Since(start))
			if len(began) < 4 {
				panic("oh")
			}
			<-ctx.Done()
		})
		others := 0
		all.start("sound", func(ctx context.Context) { others++; <-ctx.Done() })
		time.Sleep(time.Hour)
		all.end()
		if want := []time.Duration{0, time.Second, 3 * time.Second, 7 * time.Second}; !slices.Equal(began, want) {
			t.Errorf("started at %v, want %v", began, want)
		}
		if panics.Load() != 3 || others != 1 {
			t.Errorf("%d panics, the other task was started %d times; want 3 and once", panics.Load(), others)
		}
	})
}

func TestReloadThatPanicsFails(t *testing.T) {
	srv := &server{onReload: func() func(error) { return func(error) {} }}
	var lines strings.Builder
	srv.attempt(bySignal, slog.New(slog.NewTextHandler(&lines, nil)), func() error { panic("oh") })
	if srv.reloads.count[bySignal][1].Load() != 1 || !srv.reloads.failed[bySignal].Load() {
		t.Error("the reload is not counted as failed")
	}
	for _, want := range []string{"BUG: panic: oh", "tasks_test.go", "reload failed"} {
		if !strings.Contains(lines.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, lines.String())
		}
	}
}

func TestSafelyLeavesErrorsAlone(t *testing.T) {
	if err := safely(func() error { return fs.ErrNotExist }); !errors.Is(err, fs.ErrNotExist) || stackOf(err) != "" {
		t.Errorf("got %v", err)
	}
}
