package telemetry

import (
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// prefix is what the names of all metrics of ours begin with.
const prefix = "domainpark_"

// Type is what sort of number a metric is.
type Type uint8

// The types.
const (
	Total     Type = iota // only ever grows, from zero at start
	Level                 // goes up and down
	Durations             // a histogram of seconds
)

var typeTexts = [...]string{"counter", "gauge", "histogram"}

// String is Prometheus' name of the type.
func (t Type) String() string { return typeTexts[t] }

// Family is one metric: what it is called, and what it means to an operator.
type Family struct {
	Name   string // without the prefix that all have
	Type   Type
	Labels []string
	Help   string // a sentence or several
}

// Source is a part of the server that has something to show.
type Source struct {
	Families []Family

	// Read adds the values of the families as they are now. It is called for
	// each scrape, by several goroutines at once, and never by who answers
	// queries.
	Read func(*Scrape)
}

// Scrape takes the values of a Source.
type Scrape struct {
	families map[string]described
	out      chan<- prometheus.Metric
}

type described struct {
	kind Type
	desc *prometheus.Desc
}

// Add adds a value, which must belong to a family of the source that is
// scraped. The labels' values are in the order of the family's labels; they must
// not be a client's choice.
func (s *Scrape) Add(family string, value float64, labels ...string) {
	f, ok := s.families[family]
	if !ok {
		err := fmt.Errorf("metric %q is in no table of metrics", family)
		s.out <- prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(err), err)
		return
	}
	kind := prometheus.CounterValue
	if f.kind == Level {
		kind = prometheus.GaugeValue
	}
	values := make([]string, len(labels))
	for i, label := range labels {
		values[i] = strings.ToValidUTF8(label, "\ufffd") // a file's name may be anything
	}
	s.send(f)(prometheus.NewConstMetric(f.desc, kind, value, values...))
}

func (s *Scrape) addDurations(family string, d distribution, labels ...string) {
	f := s.families[family]
	s.send(f)(prometheus.NewConstHistogram(f.desc, d.count, d.sum, d.buckets, labels...))
}

// send passes a metric on, or what is wrong with it: the others of the scrape
// are shown all the same.
func (s *Scrape) send(f described) func(prometheus.Metric, error) {
	return func(m prometheus.Metric, err error) {
		if err != nil {
			m = prometheus.NewInvalidMetric(f.desc, err)
		}
		s.out <- m
	}
}

// collector is a Source as the library wants it.
type collector struct {
	families map[string]described
	read     func(*Scrape)
}

func newCollector(s Source) *collector {
	c := &collector{families: make(map[string]described, len(s.Families)), read: s.Read}
	for _, f := range s.Families {
		c.families[f.Name] = described{f.Type, prometheus.NewDesc(prefix+f.Name, f.Help, f.Labels, nil)}
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, f := range c.families {
		out <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	c.read(&Scrape{c.families, out})
}
