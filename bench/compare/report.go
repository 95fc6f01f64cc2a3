//go:build linux

package main

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// row is one line of a table: medians of a server under one load.
type row struct {
	server          string
	rate            float64 // answers a second
	cpu             float64 // microseconds for an answer
	instructions    float64 // for an answer; 0: not counted
	half, p99, p999 time.Duration
	rss             float64 // MB
	failed          uint64  // queries of all rounds that were lost or answered wrongly
	problem         string
}

// rows are the servers under one load, the cheapest answer first.
func (r results) rows(load string) (rows []row) {
	for server, all := range r[load] {
		w := row{
			server: server,
			rate:   median(all, (*measurement).rate),
			cpu:    median(all, func(m *measurement) float64 { return float64(m.cpu) / float64(time.Microsecond) }),

			instructions: median(all, func(m *measurement) float64 { return m.instructions }),
			half:         median(all, func(m *measurement) time.Duration { return m.Latency.Half }),
			p99:          median(all, func(m *measurement) time.Duration { return m.Latency.P99 }),
			p999:         median(all, func(m *measurement) time.Duration { return m.Latency.P999 }),
			rss:          median(all, func(m *measurement) float64 { return float64(m.rss) / 1e6 }),
		}
		for _, m := range all {
			w.failed += m.Lost + m.Wrong
			w.problem = cmp.Or(w.problem, m.Problem)
		}
		rows = append(rows, w)
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Or(cmp.Compare(a.cpu, b.cpu), cmp.Compare(a.server, b.server)) })
	return rows
}

// write writes benchmarks.md and the plots below dir.
func write(dir string, m machine, o *options, servers []*server, r results) error {
	plots := filepath.Join(dir, "benchmarks")
	if err := os.MkdirAll(plots, 0o755); err != nil {
		return err
	}
	var b strings.Builder
	head(&b, m, o, servers)
	for _, l := range loads {
		rows := r.rows(l.name)
		if len(rows) == 0 {
			continue
		}
		if err := os.WriteFile(filepath.Join(plots, l.name+".svg"), []byte(plot(l.title, rows)), 0o644); err != nil {
			return err
		}
		section(&b, l, rows)
	}
	startSection(&b, r.rows(startLoad))
	return os.WriteFile(filepath.Join(dir, "benchmarks.md"), []byte(b.String()), 0o644)
}

func head(b *strings.Builder, m machine, o *options, servers []*server) {
	fmt.Fprintf(b, `# Benchmarks

Made by %s on %s; what is measured, and how to do it again: [bench/compare](../bench/compare/main.go).
%s, Linux %s, %s, %s, source %s. %s;
medians of %d rounds of %s. Compare within a table, and the CPU time of an answer first: answers a second are
the generator's limit wherever a server is faster than it, and both share the machine with whatever else runs there.

| server | version | settings |
|---|---|---|
`, "`go run ./bench/compare`", m.date, m.cpu, m.kernel, m.system, m.golang, m.commit, m.cpus, o.rounds, o.during)
	for _, s := range servers {
		var links []string
		for _, f := range s.files {
			links = append(links, fmt.Sprintf("[%s](../bench/compare/servers/%s)", filepath.Base(f), f))
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", s.name, strings.ReplaceAll(s.version, "|", `\|`), strings.Join(links, " "))
	}
}

func section(b *strings.Builder, l loadKind, rows []row) {
	fmt.Fprintf(b, "\n## %s\n\n![CPU time of an answer](benchmarks/%s.svg)\n\n", l.title, l.name)
	counts := slices.ContainsFunc(rows, func(w row) bool { return w.instructions > 0 })
	b.WriteString("| server | CPU µs an answer | times the best |")
	if counts {
		b.WriteString(" instructions an answer |")
	}
	b.WriteString(" answers a second | half within | 99 % | 99.9 % | MB | failed |\n|---|--:|--:|")
	if counts {
		b.WriteString("--:|")
	}
	b.WriteString("--:|--:|--:|--:|--:|--:|\n")
	for _, w := range rows {
		fmt.Fprintf(b, "| %s | %s | %.2f |", shown(w.server), significant(w.cpu), w.cpu/rows[0].cpu)
		if counts {
			fmt.Fprintf(b, " %.0f |", w.instructions)
		}
		fmt.Fprintf(b, " %.0f | %s | %s | %s | %.0f | %d |\n", w.rate, w.half, w.p99, w.p999, w.rss, w.failed)
	}
}

// startSection is the table of what servers need before the first load.
func startSection(b *strings.Builder, rows []row) {
	if len(rows) == 0 {
		return
	}
	b.WriteString("\n## Start, and rest after one answer\n\n| server | first answer after | CPU | MB |\n|---|--:|--:|--:|\n")
	for _, w := range rows {
		fmt.Fprintf(b, "| %s | %s | %.0f ms | %.1f |\n", shown(w.server), w.half.Round(time.Millisecond), w.cpu/1000, w.rss)
	}
}

// ours is the server that the plots and tables point out.
const ours = "domain-park"

// shown is a server's name in a table.
func shown(server string) string {
	if server == ours {
		return "**" + server + "**"
	}
	return server
}

// significant writes three digits of a number.
func significant(f float64) string {
	if f <= 0 {
		return "0"
	}
	return fmt.Sprintf("%.*f", max(0, 2-int(math.Floor(math.Log10(f)))), f)
}
