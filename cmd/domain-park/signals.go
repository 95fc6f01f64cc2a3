package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

// untilSignal returns a context that ends with the first SIGTERM or SIGINT. A
// second one ends the program at once, for who can't wait until connections
// are drained. stop gives the signals back their usual meaning.
func untilSignal(log *slog.Logger) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	done := make(chan struct{})
	go func() {
		for _, act := range []func(os.Signal){
			func(s os.Signal) {
				log.Info("stopping: connections are drained, another signal stops at once", "signal", s.String())
				cancel()
			},
			func(s os.Signal) {
				log.Error("stopped at once", "signal", s.String())
				os.Exit(1)
			},
		} {
			select {
			case s := <-signals:
				act(s)
			case <-done:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel()
	}
}
