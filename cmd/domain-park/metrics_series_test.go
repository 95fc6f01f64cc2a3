package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"domainpark/policy"
	"domainpark/query"
	"domainpark/telemetry"

	dto "github.com/prometheus/client_model/go"
)

// TestClientsMakeNoSeries asks a million times for names and types that nobody
// asked for before, from as many addresses, with messages of every quality.
func TestClientsMakeNoSeries(t *testing.T) {
	srv := serveObserved(t)
	before := samplesOf(srv.scrape(t))
	const queries = 1_000_000
	random := rand.New(rand.NewPCG(1, 2))
	q := &query.Query{Received: time.Now()}
	message := []byte("\x12\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x08????????\x03com\x00\x00\x00\x00\x01")
	dst := make([]byte, 0, 4096)
	for i := range queries {
		binary.BigEndian.PutUint64(message[13:], random.Uint64())
		binary.BigEndian.PutUint16(message[len(message)-4:], uint16(i))
		message[2+random.IntN(10)] ^= byte(random.IntN(8) / 7) // one bit of some headers
		var addr [4]byte
		binary.BigEndian.PutUint32(addr[:], random.Uint32())
		q.Message, q.Worker = message, i
		q.Client = netip.AddrPortFrom(netip.AddrFrom4(addr), 53)
		q.Transport = query.Transport(i % int(query.Transports))
		srv.resolver.Resolve(dst, q)
	}
	after := samplesOf(srv.scrape(t))
	if len(after) != len(before) {
		t.Errorf("%d series, before there were %d", len(after), len(before))
	}
	for _, family := range []string{"queries_total", "queries_by_kind_total", "queries_by_type_total"} {
		if n := after.sum(family, ""); n != queries {
			t.Errorf("%s add up to %v", family, n)
		}
	}
}

// TestEveryCounterOfThePolicyHasAMeaning holds that the table of metrics
// follows the counters, whatever is switched on.
func TestEveryCounterOfThePolicyHasAMeaning(t *testing.T) {
	cfg := policy.Config{Requests: policy.Requests{Rate: 1}, Responses: policy.Responses{Rate: 1, Errors: 1, All: 1, Slip: 1}}
	guard, err := policy.New(cfg, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	unused := slices.Clone(policyFamilies)
	for _, c := range guard.Counters() {
		var names []string
		for i := 0; i < len(c.Labels); i += 2 {
			names = append(names, c.Labels[i])
		}
		i := slices.IndexFunc(policyFamilies, func(f telemetry.Family) bool { return f.Name == c.Name })
		if i < 0 || !slices.Equal(policyFamilies[i].Labels, names) {
			t.Errorf("%s with labels %q is not in policyFamilies", c.Name, names)
		}
		unused = slices.DeleteFunc(unused, func(f telemetry.Family) bool { return f.Name == c.Name })
	}
	if len(unused) != 1 || unused[0].Name != "connections_open" {
		t.Errorf("nothing counts %v", unused)
	}
}

const metricsIntro = `# Metrics

What ` + "`/metrics`" + ` of the addresses in ` + "`listen.admin`" + ` shows, in Prometheus' text format. This page is generated from the code,
and a test compares it with a live server: ` + "`go test ./cmd/domain-park -run TestMetricsAreDocumented -update`" + `.

Every label comes from a closed set, or from the settings: nothing that a client sends becomes a name. All series of
queries are there from the start, at zero. Counters begin at zero when the program starts; each worker counts by itself and a
scrape adds up, so that a scrape under load may show a query in one metric and not yet in another.

Beside these there are ` + "`go_*`" + ` (the Go runtime), ` + "`process_*`" + ` (memory, descriptors, CPU time, and ` + "`process_start_time_seconds`" + `, of
the process; ` + "`process_network_*`" + ` is the whole machine's) and ` + "`promhttp_*`" + ` (scrapes that failed).

`

// freeLabels have values that differ from server to server.
var freeLabels = []string{"name", "source", "file", "version", "revision", "goversion", "address"}

// onlyACME are the metrics that a server without tls.acme does not show.
var onlyACME = []string{"certificate_renewal_timestamp_seconds", "certificate_failures", "certificate_orders_total"}

// TestMetricsAreDocumented compares docs/metrics.md with what is in the code,
// and both with a live scrape.
func TestMetricsAreDocumented(t *testing.T) {
	srv := serveObserved(t)
	shown := srv.scrape(t)
	var page strings.Builder
	page.WriteString(metricsIntro)
	documented := map[string]bool{}
	for _, source := range srv.metrics(nil) {
		for _, f := range source.Families {
			name := "domainpark_" + f.Name
			documented[name] = true
			fmt.Fprintf(&page, "## %s\n\nA %s. %s\n\n", name, f.Type, f.Help)
			live := shown[name]
			if live == nil {
				if !slices.Contains(onlyACME, f.Name) {
					t.Errorf("%s is not in a scrape", name)
				}
				continue
			}
			if live.GetHelp() != f.Help || !strings.EqualFold(live.GetType().String(), f.Type.String()) {
				t.Errorf("%s is a %s in a scrape: %s", name, live.GetType(), live.GetHelp())
			}
			for _, label := range f.Labels {
				if !slices.Contains(freeLabels, label) {
					fmt.Fprintf(&page, "- `%s`: %s\n", label, strings.Join(valuesOf(live, label), ", "))
				}
			}
			if len(f.Labels) > 0 && !slices.Contains(freeLabels, f.Labels[0]) {
				page.WriteString("\n")
			}
		}
	}
	for name := range shown {
		if !documented[name] && !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") && !strings.HasPrefix(name, "promhttp_") {
			t.Errorf("%s has no meaning", name)
		}
	}
	golden(t, "../../../docs/metrics.md", page.String())
}

func valuesOf(f *dto.MetricFamily, label string) (values []string) {
	for _, m := range f.Metric {
		for _, l := range m.Label {
			if l.GetName() == label {
				values = append(values, l.GetValue())
			}
		}
	}
	slices.Sort(values)
	return slices.Compact(values)
}
