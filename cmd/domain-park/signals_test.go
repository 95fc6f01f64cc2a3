package main

import (
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A service manager that signals the group too sends each signal twice.
func TestTheSameSignalAtOnceIsNoSecondOne(t *testing.T) {
	for name, c := range map[string]struct {
		second  os.Signal
		after   time.Duration
		stopped bool
	}{
		"at once":           {syscall.SIGTERM, 0, false},
		"soon":              {syscall.SIGTERM, sameSignal - 1, false},
		"later":             {syscall.SIGTERM, sameSignal, true},
		"another at once":   {os.Interrupt, 0, true},
		"another one later": {os.Interrupt, time.Minute, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			signals, done := make(chan os.Signal), make(chan struct{})
			drains, stops := 0, 0
			go awaitStops(signals, done, func(os.Signal) { drains++ }, func(os.Signal) { stops++ })
			signals <- syscall.SIGTERM
			synctest.Wait()
			time.Sleep(c.after)
			signals <- c.second
			synctest.Wait()
			if drains != 1 || (stops == 1) != c.stopped {
				t.Errorf("%s: drained %d times, stopped at once %d times", name, drains, stops)
			}
			close(done)
		})
	}
}
