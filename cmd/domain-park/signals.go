package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// sameSignal is how soon the same signal is not yet a second one: service
// managers and terminals signal both a program and its group, milliseconds apart.
const sameSignal = 500 * time.Millisecond

// untilSignal returns a context that ends with the first SIGTERM or SIGINT. A
// second one ends the program at once, for who can't wait until connections
// are drained. stop gives the signals back their usual meaning.
func untilSignal(log *slog.Logger) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	// Go ends a program that writes to a standard error nobody reads any more.
	// A lost log must not be a lost server.
	signal.Ignore(syscall.SIGPIPE)
	done := make(chan struct{})
	go awaitStops(signals, done,
		func(s os.Signal) {
			log.Info("stopping: connections are drained, another signal stops at once", "signal", s.String())
			cancel()
		},
		func(s os.Signal) {
			log.Error("stopped at once", "signal", s.String())
			os.Exit(1)
		})
	return ctx, func() {
		signal.Stop(signals)
		signal.Reset(syscall.SIGPIPE)
		close(done)
		cancel()
	}
}

// awaitStops calls drain at the first signal and quit at the second, and
// returns then or when done is closed.
func awaitStops(signals <-chan os.Signal, done <-chan struct{}, drain, quit func(os.Signal)) {
	var first os.Signal
	var at time.Time
	for {
		select {
		case s := <-signals:
			switch {
			case first == nil:
				first, at = s, time.Now()
				drain(s)
			case s != first || time.Since(at) >= sameSignal:
				quit(s)
				return
			}
		case <-done:
			return
		}
	}
}

// hangups delivers SIGHUP, which would end the program, from now until stop is
// called. One that comes before anybody receives is kept.
func hangups() (signals <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c, func() { signal.Stop(c) }
}
