//go:build linux

// Compare runs this server and the other name servers that are installed on
// the same parked domains, one after another on loopback, and measures what an
// answer costs each of them: over UDP, TCP, DoT, DoH, DoH3 and DoQ, many
// queries at once and one at a time, over kept connections and new ones. It
// writes docs/benchmarks.md and a plot for each transport.
//
//	sudo apt-get install bind9 dnsdist gcc gdnsd knot nsd pdns-server pdns-backend-bind unbound
//	go run ./bench/compare
//
// The server has CPU 0, or with -cpus the first ones, the generator (bench/load)
// the others. Each server answers once in a round, and the table has the
// medians of the rounds. Machines drift: compare within one run, and the CPU time of an answer before answers a
// second, which the generator limits for servers that are faster than it.
// Settings of every server are in the folder servers beside this file.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

func main() {
	if text := os.Getenv(asGenerator); text != "" {
		generate(text)
		return
	}
	var o options
	flag.StringVar(&o.out, "out", "docs", "folder for benchmarks.md and the plots")
	flag.StringVar(&o.program, "program", "", "this server's program; default: built from the source")
	flag.IntVar(&o.rounds, "rounds", 3, "how often each server runs")
	flag.DurationVar(&o.during, "during", 3*time.Second, "how long each measurement takes, at most 20s")
	flag.IntVar(&o.cpus, "cpus", 1, "how many CPUs a server has")
	only := flag.String("servers", "", "servers to run, divided by commas; default: all that are installed")
	loads := flag.String("loads", "", "loads to measure, divided by commas; default: all of "+strings.Join(loadNames(), ","))
	flag.Func("bin", "NAME=PATH: another program of a server, such as knot=/opt/knot/sbin/knotd", func(s string) error {
		name, path, ok := strings.Cut(s, "=")
		if !ok || path == "" {
			return fmt.Errorf("expected NAME=PATH")
		}
		o.programs = append(o.programs, [2]string{name, path})
		return nil
	})
	flag.Parse()
	o.servers, o.loads = words(*only), words(*loads)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := o.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// words divides a list; an empty one is nil.
func words(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

type options struct {
	out, program   string
	rounds, cpus   int
	during         time.Duration
	servers, loads []string // nil: all
	programs       [][2]string
}

func (o *options) run(ctx context.Context) error {
	if o.rounds < 1 || o.during <= 0 || o.during > 20*time.Second {
		return fmt.Errorf("-rounds and -during: expected at least one, and 20s at most")
	}
	if o.cpus < 1 || o.cpus > runtime.NumCPU() {
		return fmt.Errorf("-cpus %d: expected 1 to %d, as many as there are", o.cpus, runtime.NumCPU())
	}
	for _, name := range o.loads {
		if !slices.Contains(loadNames(), name) {
			return fmt.Errorf("-loads %s: expected some of %s", name, strings.Join(loadNames(), ","))
		}
	}
	dir, err := os.MkdirTemp("", "compare-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if o.program == "" {
		o.program = filepath.Join(dir, "domain-park")
		build := exec.CommandContext(ctx, "go", "build", "-o", o.program, "./cmd/domain-park")
		if text, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", build, err, text)
		}
	}
	ground, err := prepare(dir, o.cpus)
	if err != nil {
		return err
	}
	servers := o.installed(ctx, ground)
	results, err := o.measure(ctx, ground, servers)
	if err != nil {
		return err
	}
	return write(o.out, describeMachine(ground), o, servers, results)
}

// installed lists the servers that there are programs for, with their versions.
func (o *options) installed(ctx context.Context, g *ground) []*server {
	var found []*server
	for _, s := range servers() {
		if o.servers != nil && !slices.Contains(o.servers, s.name) {
			continue
		}
		for _, p := range append([][2]string{{"domain-park", o.program}, {"echo", g.echo}}, o.programs...) {
			if p[0] == s.name {
				s.program = p[1]
			}
		}
		path, err := exec.LookPath(s.program)
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: not measured: %v\n", s.name, err)
			continue
		}
		s.program, s.version = path, versionOf(ctx, path, s.versionArgs)
		found = append(found, s)
	}
	return found
}

// measure runs the rounds. A server that does not start, or a load that gets no
// answer, is told and left out of the table.
func (o *options) measure(ctx context.Context, g *ground, servers []*server) (results, error) {
	all := results{}
	for round := range o.rounds {
		for _, s := range servers {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			fmt.Fprintf(os.Stderr, "round %d of %d: %s %s\n", round+1, o.rounds, s.name, s.version)
			if err := o.measureServer(ctx, g, s, all); err != nil {
				fmt.Fprintf(os.Stderr, "%s: %v\n", s.name, err)
			}
		}
	}
	return all, nil
}

func (o *options) measureServer(ctx context.Context, g *ground, s *server, all results) error {
	p, err := g.start(ctx, s)
	if err != nil {
		return err
	}
	defer p.stop()
	m, err := p.rest()
	if err != nil {
		return err
	}
	all.add(startLoad, s.name, m)
	for _, l := range loads {
		if !s.speaks(l.transport) || o.loads != nil && !slices.Contains(o.loads, l.name) {
			continue
		}
		m, err := p.measure(ctx, g, l, o.during)
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %s: %v\n", s.name, l.name, err)
			continue
		}
		all.add(l.name, s.name, m)
	}
	return nil
}
