//go:build linux

// Instructions counts what an answer over UDP costs this server in user space: the
// program runs under cachegrind (valgrind), is asked once so many questions and
// once five times as many, and the difference is divided by the answers that lie
// between. It prints the sum and the functions that take most, with limits,
// cookies and counters on. Counts do not depend on what else the machine does, but
// for what Go's runtime does by the clock.
//
//	sudo apt-get install valgrind
//	go run ./bench/instructions
//
// Machines whose perf counts instructions have them in the tables of bench/compare.
package main

import (
	"bufio"
	"cmp"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

func main() {
	program := flag.String("program", "", "this server's program; default: built from the source")
	top := flag.Int("top", 40, "how many functions to print")
	flag.Parse()
	if err := run(*program, *top); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(program string, top int) error {
	dir, err := os.MkdirTemp("", "instructions-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if program == "" {
		program = filepath.Join(dir, "domain-park")
		build := exec.Command("go", "build", "-o", program, "./cmd/domain-park")
		if text, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", build, err, text)
		}
	}
	const fewer, more = 40_000, 200_000
	a, err := count(dir, program, fewer)
	if err != nil {
		return err
	}
	b, err := count(dir, program, more)
	if err != nil {
		return err
	}
	b.less(a)
	b.print(os.Stdout, top)
	return nil
}

// profile is how many instructions each function took for so many answers.
type profile struct {
	answers   uint64
	functions map[string]int64
}

// less takes off what o has.
func (p *profile) less(o *profile) {
	p.answers -= o.answers
	for name, n := range o.functions {
		p.functions[name] -= n
	}
}

func (p *profile) print(w io.Writer, top int) {
	var sum int64
	for _, n := range p.functions {
		sum += n
	}
	each := func(n int64) float64 { return float64(n) / float64(p.answers) }
	fmt.Fprintf(w, "%8.1f instructions in user space for an answer, of %d answers\n", each(sum), p.answers)
	names := slices.SortedFunc(maps.Keys(p.functions), func(a, b string) int {
		return cmp.Or(cmp.Compare(p.functions[b], p.functions[a]), cmp.Compare(a, b))
	})
	for _, name := range names[:min(top, len(names))] {
		fmt.Fprintf(w, "%8.1f %s\n", each(p.functions[name]), name)
	}
}

// readProfile reads what cachegrind wrote without a simulation of caches: a line
// for a function, and then one for each of its source lines, with its number
// and its count (Valgrind's manual, cg_annotate's format).
func readProfile(r io.Reader) (*profile, error) {
	p := &profile{functions: map[string]int64{}}
	function := ""
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		text := lines.Text()
		if name, ok := strings.CutPrefix(text, "fn="); ok {
			function = name
			continue
		}
		if text == "" || text[0] < '0' || text[0] > '9' {
			continue
		}
		f := strings.Fields(text)
		if len(f) != 2 {
			return nil, fmt.Errorf("cachegrind wrote %q; expected a line's number and one count", text)
		}
		n, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			return nil, err
		}
		p.functions[function] += n
	}
	return p, lines.Err()
}
