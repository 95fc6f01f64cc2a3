//go:build linux

package main

import (
	"fmt"
	"runtime"
)

// serverCPUs are the server's, as taskset(1) takes them.
func (g *ground) serverCPUs() string { return fmt.Sprintf("0-%d", g.CPUs-1) }

// generatorCPUs are those that the server leaves, and how many that are. Where
// it leaves none, the generator shares all of them: then only the CPU time of an
// answer tells something.
func (g *ground) generatorCPUs() (list string, many int) {
	all := runtime.NumCPU()
	if g.CPUs >= all {
		return g.serverCPUs(), all
	}
	return fmt.Sprintf("%d-%d", g.CPUs, all-1), all - g.CPUs
}

// describeCPUs is a sentence of the report.
func (g *ground) describeCPUs() string {
	switch _, many := g.generatorCPUs(); {
	case g.CPUs >= runtime.NumCPU():
		return fmt.Sprintf("The server and the generator shared %d CPUs", many)
	case g.CPUs == 1 && many == 1:
		return "The server had one CPU, the generator another one"
	default:
		return fmt.Sprintf("CPUs of the server: %d, of the generator: %d others", g.CPUs, many)
	}
}
