//go:build linux

package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
)

// counter counts instructions of processes by perf, where there is perf and
// the machine lets it: virtual ones often don't.
type counter struct {
	cmd *exec.Cmd
	out bytes.Buffer
}

var canCount = sync.OnceValue(func() bool {
	out, err := exec.Command("perf", "stat", "-x", ",", "-e", "instructions", "true").CombinedOutput()
	return err == nil && counted(out) > 0
})

// startCounter returns nil, which counts nothing, where there is no counter.
func startCounter(pids []string) *counter {
	if !canCount() || len(pids) == 0 {
		return nil
	}
	c := &counter{cmd: exec.Command("perf", "stat", "-x", ",", "-e", "instructions", "-p", strings.Join(pids, ","))}
	c.cmd.Stderr = &c.out
	if c.cmd.Start() != nil {
		return nil
	}
	return c
}

// stop returns how many instructions there were.
func (c *counter) stop() float64 {
	if c == nil {
		return 0
	}
	_ = c.cmd.Process.Signal(os.Interrupt)
	_ = c.cmd.Wait() // it ends by the signal
	return counted(c.out.Bytes())
}

// counted reads what perf wrote: the count is the first of the fields.
func counted(text []byte) (sum float64) {
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		f := strings.Split(lines.Text(), ",")
		if len(f) > 2 && strings.HasPrefix(f[2], "instructions") {
			n, _ := strconv.ParseFloat(f[0], 64) // "<not supported>" is none
			sum += n
		}
	}
	return sum
}
