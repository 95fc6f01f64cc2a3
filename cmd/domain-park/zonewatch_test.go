package main

import (
	"log/slog"
	"testing"
	"testing/synctest"
)

// TestZoneWatchDoesNotWaitForWhoReloads: it may have ended, and the end of the
// server would wait for the watch.
func TestZoneWatchDoesNotWaitForWhoReloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, done := newZoneWatch(slog.New(slog.DiscardHandler)), false
		go func() {
			w.tell()
			w.tell()
			done = true
		}()
		synctest.Wait()
		if !done {
			t.Error("the second time waits for the first to be taken")
			<-w.changed
		}
		<-w.changed
	})
}
