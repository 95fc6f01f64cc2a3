//go:build linux

package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"domainpark/bench/load"
)

// asGenerator makes this program the generator: it stands for the address of
// its Config, in a file.
const asGenerator = "COMPARE_GENERATOR"

// generate is the generator's program: it writes its result to standard output.
func generate(file string) {
	text, err := os.ReadFile(file)
	var c load.Config
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	var r load.Result
	if err == nil {
		r, err = load.Run(context.Background(), c)
	}
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(r)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// measurement is one load on one server, once.
type measurement struct {
	load.Result
	cpu          time.Duration // of the server, for an answer
	instructions float64       // for an answer, in user space and kernel; 0: not counted
	rss          int64         // of the server after it, in bytes
}

// startLoad is the name under which results have how a server starts.
const startLoad = "start"

// rest is what a server takes that has answered once and no more: its Latency
// is the time from the start of the process to that answer.
func (p *process) rest() (*measurement, error) {
	u, err := p.usage()
	if err != nil {
		return nil, err
	}
	return &measurement{Result: load.Result{Answers: 1, Latency: load.Latency{Half: p.startedIn}}, cpu: u.cpu, rss: u.rss}, nil
}

// rate is answers a second.
func (m *measurement) rate() float64 { return float64(m.Answers) / m.Elapsed.Seconds() }

// measure puts a load on p: for a second unmeasured, so that caches are warm
// and connections have been, then as long as during.
func (p *process) measure(ctx context.Context, g *ground, l loadKind, during time.Duration) (*measurement, error) {
	name, window := strings.TrimPrefix(l.transport, "new-"), l.window
	if most := p.server.most[l.transport]; most > 0 {
		window = min(window, most)
	}
	c := load.Config{Transport: l.transport, Server: netip.MustParseAddrPort("127.0.0.1:" + p.port[name]), ServerName: serverName, Queries: g.queries,
		Connections: l.connections, Window: window, Duration: min(time.Second, during), Resume: l.resume}
	if _, err := runGenerator(ctx, g, c); err != nil {
		return nil, err
	}
	c.Duration = during
	if l.half {
		if p.peak == 0 {
			return nil, errors.New("expected the load udp before it")
		}
		c.Rate = int(p.peak / 2)
	}
	before, err := p.usage()
	if err != nil {
		return nil, err
	}
	counter := startCounter(before.pids)
	r, err := runGenerator(ctx, g, c)
	instructions := counter.stop()
	if err != nil {
		return nil, err
	}
	after, err := p.usage()
	if err != nil {
		return nil, err
	}
	m := &measurement{r, (after.cpu - before.cpu) / time.Duration(r.Answers), instructions / float64(r.Answers), after.rss}
	if l.name == "udp" {
		p.peak = m.rate()
	}
	return m, nil
}

// runGenerator runs this program again, on CPUs of its own where there are some.
func runGenerator(ctx context.Context, g *ground, c load.Config) (r load.Result, err error) {
	text, err := json.Marshal(c)
	if err != nil {
		return r, err
	}
	file, err := os.CreateTemp(g.dir, "load-")
	if err != nil {
		return r, err
	}
	defer os.Remove(file.Name())
	_, err = file.Write(text)
	if err = cmp.Or(err, file.Close()); err != nil {
		return r, err
	}
	self, err := os.Executable()
	if err != nil {
		return r, err
	}
	cpus, many := g.generatorCPUs()
	cmd := exec.CommandContext(ctx, "taskset", "-c", cpus, self)
	cmd.Env = append(os.Environ(), asGenerator+"="+file.Name(), fmt.Sprintf("GOMAXPROCS=%d", many), "QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING=1")
	var out, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problem
	if err := cmd.Run(); err != nil {
		return r, fmt.Errorf("generator: %w: %s", err, strings.TrimSpace(problem.String()))
	}
	return r, json.Unmarshal(out.Bytes(), &r)
}

// results are measurements by load and server.
type results map[string]map[string][]*measurement

func (r results) add(load, server string, m *measurement) {
	if r[load] == nil {
		r[load] = map[string][]*measurement{}
	}
	r[load][server] = append(r[load][server], m)
}

// median is the middle one of what of finds in measurements.
func median[T cmp.Ordered](all []*measurement, of func(*measurement) T) T {
	var values []T
	for _, m := range all {
		values = append(values, of(m))
	}
	slices.Sort(values)
	return values[len(values)/2]
}
