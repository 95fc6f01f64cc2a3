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

// caught are the signals that a server handles, from the first line of main on:
// a service manager may stop it, or have it reload, while it reads its zones.
type caught struct {
	stops   chan os.Signal // SIGTERM and SIGINT
	hangups chan os.Signal // of one element: one that comes before anybody receives is kept
}

func catchSignals() *caught {
	c := &caught{make(chan os.Signal, 2), make(chan os.Signal, 1)}
	signal.Notify(c.stops, syscall.SIGTERM, os.Interrupt)
	signal.Notify(c.hangups, syscall.SIGHUP)
	return c
}

// release gives the signals back their usual meaning, for commands that are no
// server, and repeats what has come meanwhile.
func (c *caught) release() {
	signal.Stop(c.stops)
	signal.Stop(c.hangups)
	for _, signals := range []chan os.Signal{c.stops, c.hangups} {
		select {
		case s := <-signals:
			if self, err := os.FindProcess(os.Getpid()); err == nil {
				_ = self.Signal(s)
			}
		default:
		}
	}
}

// whileLoading ends the program with status 0 when it is to stop before it has
// anything to drain, until done is called.
func (c *caught) whileLoading() (done func()) {
	loaded, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case s := <-c.stops:
			slog.Info("stopped before the start was complete", "signal", s.String())
			os.Exit(0)
		case <-loaded:
		}
	}()
	return func() {
		close(loaded)
		<-ended
	}
}

// untilSignal returns a context that ends with the first SIGTERM or SIGINT. A
// second one ends the program at once, for who can't wait until connections
// are drained. stop gives the signals back their usual meaning.
func (c *caught) untilSignal(log *slog.Logger) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	// Go ends a program that writes to a standard error nobody reads any more.
	// A lost log must not be a lost server.
	signal.Ignore(syscall.SIGPIPE)
	done := make(chan struct{})
	go awaitStops(c.stops, done,
		func(s os.Signal) {
			log.Info("stopping: connections are drained, another signal stops at once", "signal", s.String())
			cancel()
		},
		func(s os.Signal) {
			log.Error("stopped at once", "signal", s.String())
			os.Exit(1)
		})
	return ctx, func() {
		signal.Stop(c.stops)
		signal.Stop(c.hangups)
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
