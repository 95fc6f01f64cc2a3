//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// machine is where and when the comparison ran.
type machine struct{ date, cpu, kernel, system, golang, commit, cpus string }

func describeMachine(g *ground) machine {
	m := machine{date: time.Now().UTC().Format(time.DateOnly), golang: runtime.Version(), cpu: "unknown", kernel: "unknown", system: "unknown", commit: "unknown"}
	m.cpus = g.describeCPUs()
	m.cpu = fmt.Sprintf("%s, %d CPUs", fieldOf("/proc/cpuinfo", "model name"), runtime.NumCPU())
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.kernel = strings.TrimSpace(string(text))
	}
	if name := strings.Trim(fieldOf("/etc/os-release", "PRETTY_NAME"), `"`); name != "" {
		m.system = name
	}
	// What "go run" builds does not know its revision.
	if text, err := exec.Command("git", "describe", "--always", "--dirty").Output(); err == nil {
		m.commit = strings.TrimSpace(string(text))
	}
	return m
}

// fieldOf is the value of the first line "key: value" or "key=value" of a file.
func fieldOf(file, key string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == key {
			return strings.TrimSpace(value)
		}
		if name, value, ok := strings.Cut(lines.Text(), "="); ok && name == key {
			return value
		}
	}
	return ""
}
