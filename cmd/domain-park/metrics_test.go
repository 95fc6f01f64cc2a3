package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"domainpark/listeners"
	"domainpark/query"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// observedServer is a server in this process, on every transport and with an
// administrator's address.
type observedServer struct {
	*server
	addrs map[string]string // by transport
	url   string            // of the administrator's server
	drain func()            // begins to stop; queries under way would be answered
}

// serveObserved starts one. more is appended to its settings.
func serveObserved(t *testing.T, more ...string) *observedServer {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	srv, err := (&source{Config: write(t, t.TempDir(), "settings.yaml", `
nameservers: [{name: ns1.park.example}, {name: ns2.park.example}]
telemetry: {queries: {file: queries.log, sample: 0.001}, dnstap: "unix:/nonexistent/tap.sock"}
`+strings.Join(more, "\n"))}).load()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(srv.open(log), srv.openQueryLog(log)); err != nil {
		t.Fatal(err)
	}
	cfg := srv.listenersConfig()
	here := []string{loopbackAny}
	cfg.UDP, cfg.TCP, cfg.DoT, cfg.DoH, cfg.DoQ, srv.listen.Admin = here, here, here, here, here, here
	cfg.TLS, cfg.Log = scenarioTLS(), log
	set, err := listeners.Bind(cfg, srv.resolver)
	if err != nil {
		t.Fatal(err)
	}
	ctx, drain := context.WithCancel(context.Background())
	if err := srv.bindAdmin(ctx, set, log); err != nil {
		t.Fatal(err)
	}
	end := srv.background(log)
	ended := make(chan error, 1)
	go func() { ended <- set.Serve(ctx) }()
	t.Cleanup(func() {
		drain()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		end()
	})
	o := &observedServer{srv, map[string]string{}, "http://" + srv.admin.Bound()[0].String(), drain}
	for _, b := range set.Bound() {
		o.addrs[b.Transport] = b.Addr.String()
	}
	return o
}

// get returns status and body.
func (o *observedServer) get(t *testing.T, path string) (int, string) {
	t.Helper()
	r, err := http.Get(o.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(body)
}

func (o *observedServer) scrape(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	status, body := o.get(t, "/metrics")
	if status != http.StatusOK {
		t.Fatalf("status %d\n%s", status, body)
	}
	return familiesOf(t, body)
}

func familiesOf(t *testing.T, scrape string) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(scrape))
	if err != nil {
		t.Fatalf("%v\n%s", err, scrape)
	}
	return families
}

// families are a scrape of a running program.
func (r *running) families() map[string]*dto.MetricFamily {
	r.t.Helper()
	response, err := http.Get("http://" + r.addr["admin"][0] + "/metrics")
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return familiesOf(r.t, string(body))
}

// metrics is what a running program shows of its own.
func (r *running) metrics() samples {
	r.t.Helper()
	return samplesOf(r.families())
}

// samples are values by their name{label=value,…}.
type samples map[string]float64

// samplesOf are the counters and gauges of a scrape that are ours.
func samplesOf(families map[string]*dto.MetricFamily) samples {
	out := samples{}
	for name, f := range families {
		name, ours := strings.CutPrefix(name, "domainpark_")
		if !ours || f.GetType() == dto.MetricType_HISTOGRAM {
			continue
		}
		for _, m := range f.Metric {
			value := m.GetCounter().GetValue()
			if f.GetType() == dto.MetricType_GAUGE {
				value = m.GetGauge().GetValue()
			}
			out[sampleName(name, m)] = value
		}
	}
	return out
}

func sampleName(family string, m *dto.Metric) string {
	var labels []string
	for _, l := range m.Label {
		labels = append(labels, l.GetName()+"="+l.GetValue())
	}
	slices.Sort(labels)
	return family + "{" + strings.Join(labels, ",") + "}"
}

// count adds a query over transport on.
func (s samples) count(on string, received, sent int, qtype, kind, verdict, rcode string) {
	s["queries_total{"+on+",verdict="+verdict+"}"]++
	s["queries_by_kind_total{kind="+kind+","+on+"}"]++
	s["queries_by_type_total{"+on+",type="+qtype+"}"]++
	s["received_bytes_total{"+on+"}"] += float64(received)
	if rcode == "" {
		if verdict == "silent" && (strings.Contains(on, "transport=doh") || strings.Contains(on, "transport=doq")) {
			s["http_requests_total{result=admitted}"]++ // they get 400, or end their connection
		}
		return
	}
	s["answers_total{rcode="+rcode+","+on+"}"]++
	s["sent_bytes_total{"+on+"}"] += float64(sent)
	s["admissions_total{result=admitted}"]++
}

// sum adds up what family has with a label.
func (s samples) sum(family, label string) (n float64) {
	for name, value := range s {
		if strings.HasPrefix(name, family+"{") && (strings.Contains(name, label+",") || strings.Contains(name, label+"}")) {
			n += value
		}
	}
	return n
}

// observedTraffic has each kind of query that a client can send, and what it is
// counted as.
var observedTraffic = []struct {
	step, qtype, kind, verdict, rcode string
}{
	{"query MX example.com", "MX", "answer", "answered", "noerror"},
	{"query TXT a.b.example.org do", "TXT", "answer", "answered", "noerror"},
	{"query ANY example.com", "ANY", "answer", "answered", "noerror"},
	{"query A example.com", "A", "nodata", "answered", "noerror"},
	{"query HTTPS example.com", "HTTPS", "nodata", "answered", "noerror"},
	{"query TYPE65300 example.com", "other", "nodata", "answered", "noerror"},
	{"query TXT com", "TXT", "refused", "refused", "refused"},
	{"query AXFR example.com", "AXFR", "refused", "refused", "refused"},
	{"query TXT version.bind class=CH", "TXT", "refused", "refused", "refused"},
	{"query SOA example.com opcode=4", "SOA", "notimp", "refused", "notimp"},
	{"query CAA example.com version=1", "CAA", "badvers", "refused", "badvers"},
	{"query MX example.com option=10:00", "MX", "formerr", "refused", "formerr"},
	{"hex 1234 0000 0000 0000 0000 0000", "none", "formerr", "refused", "formerr"},
	{"hex 1234 0000 0000 0000 0000 0001 00 0029 04d0 00000000 000c 000a 0008 0102030405060708", "none", "cookie", "answered", "noerror"},
	{"hex 1234 8000 0000 0000 0000 0000", "none", "none", "silent", ""},
}

// TestMetricsAreThoseOfTheTraffic sends known queries over every transport:
// the metrics of queries are what follows from them, to the last byte, and no
// other one moves.
func TestMetricsAreThoseOfTheTraffic(t *testing.T) {
	srv := serveObserved(t)
	before := samplesOf(srv.scrape(t))
	want := maps.Clone(before)
	sent := map[query.Transport]float64{}
	for _, transport := range scenarioTransports {
		client := transport.dial(t, srv.addrs[transport.transport.String()])
		on := "transport=" + transport.transport.String()
		for i, traffic := range observedTraffic {
			message, err := buildMessage(traffic.step, 0x1234)
			if err != nil {
				t.Fatal(err)
			}
			for range i + 1 { // as often as nothing else is sent
				answer, sentinels := client.exchange(t, message, traffic.verdict == "silent")
				want.count(on, len(message), len(answer), traffic.qtype, traffic.kind, traffic.verdict, traffic.rcode)
				for range sentinels {
					want.count(on, 12, 12, "none", "notimp", "refused", "notimp")
				}
				sent[transport.transport] += 1 + float64(sentinels)
			}
		}
	}
	families := srv.scrape(t)
	got := samplesOf(families)
	for _, name := range slices.Sorted(maps.Keys(want)) {
		switch family, _, _ := strings.Cut(name, "{"); family {
		case "connections_open", "connection_openings_total", "handshakes_total": // clients may open another connection; TestMetricsOfConnections
			continue
		case "query_log_lines_total": // chosen at random
			continue
		case "cookies_total", "responses_total": // TestMetricsOfLimits looks at them
			continue
		}
		if _, ok := got[name]; !ok || got[name] != want[name] {
			t.Errorf("%s is %v, want %v", name, got[name], want[name])
		}
	}
	if len(got) != len(before) {
		t.Errorf("%d series, at the start there were %d", len(got), len(before))
	}
	for _, m := range families["domainpark_answer_duration_seconds"].Metric {
		n := m.GetHistogram()
		if n.GetSampleCount() == 0 || n.GetSampleSum() <= 0 || n.GetSampleSum() > float64(n.GetSampleCount()) {
			t.Errorf("latency of %s: %d samples of %g s together", m.Label, n.GetSampleCount(), n.GetSampleSum())
		}
	}
	for transport, n := range sent {
		for _, family := range []string{"queries_total", "queries_by_kind_total", "queries_by_type_total"} {
			if sum := got.sum(family, "transport="+transport.String()); sum != n {
				t.Errorf("%s over %s add up to %v, %v were sent", family, transport, sum, n)
			}
		}
	}
}
