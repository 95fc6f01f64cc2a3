package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The program tells what it holds when it gets SIGUSR1. Only the test binary
// does, when it is the program.
func init() {
	if os.Getenv(asProgram) == "" {
		return
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	go func() {
		for range asked {
			runtime.GC()
			runtime.GC() // what a sync.Pool held goes with the second
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			fmt.Fprintf(os.Stderr, "footprint goroutines=%d heap=%d\n", runtime.NumGoroutine(), m.HeapAlloc)
		}
	}()
}

// footprint is what a running program holds.
type footprint struct {
	goroutines  int
	descriptors int
	heapBytes   int // in use, after garbage is collected
	peakBytes   int // of resident memory, since the start
}

func (r *running) footprint() (f footprint) {
	r.t.Helper()
	r.signal(syscall.SIGUSR1)
	r.await("footprint ")
	lines := strings.Split(strings.TrimSpace(r.log.String()), "\n")
	if _, err := fmt.Sscanf(lines[len(lines)-1], "footprint goroutines=%d heap=%d", &f.goroutines, &f.heapBytes); err != nil {
		r.t.Fatal(err)
	}
	proc := fmt.Sprintf("/proc/%d/", r.Process.Pid)
	names, err := filepath.Glob(proc + "fd/*")
	if err != nil || len(names) == 0 {
		r.t.Fatalf("%s: %v", proc, err)
	}
	f.descriptors = len(names)
	status, err := os.ReadFile(proc + "status")
	if err != nil {
		r.t.Fatal(err)
	}
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscan(peak, &f.peakBytes); err != nil {
		r.t.Fatal(err)
	}
	f.peakBytes *= 1024
	return f
}

// awaitFootprint waits until goroutines and descriptors are back to what they
// were.
func awaitFootprint(t *testing.T, r *running, was footprint) footprint {
	t.Helper()
	const spare = 2 // goroutines of timers that run just now
	for deadline := time.Now().Add(2 * answerWithin); ; <-time.After(20 * time.Millisecond) {
		is := r.footprint()
		if is.goroutines <= was.goroutines+spare && is.descriptors <= was.descriptors {
			return is
		}
		if time.Now().After(deadline) {
			t.Fatalf("footprint was %+v, is %+v", was, is)
		}
	}
}
