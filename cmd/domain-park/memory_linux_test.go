package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestMachineMemoryIsThatOfMeminfo: the kernel gives both the same figure.
func TestMachineMemoryIsThatOfMeminfo(t *testing.T) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		t.Skip(err)
	}
	var kilobytes int64
	_, after, _ := strings.Cut(string(text), "MemTotal:")
	if _, err := fmt.Sscan(after, &kilobytes); err != nil {
		t.Fatal(err)
	}
	if got := machineMemory(); got != kilobytes<<10 {
		t.Errorf("%d bytes, want %d", got, kilobytes<<10)
	}
}
