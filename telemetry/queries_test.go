package telemetry

import (
	"testing"
	"testing/synctest"
	"time"

	"domainpark/query"

	dto "github.com/prometheus/client_model/go"
)

// gather is a scrape of sources, by name without the prefix.
func gather(t *testing.T, sources ...Source) map[string][]*dto.Metric {
	t.Helper()
	registry, err := newRegistry(sources)
	if err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]*dto.Metric{}
	for _, f := range families {
		if name := f.GetName(); len(name) > len(prefix) && name[:len(prefix)] == prefix {
			out[name[len(prefix):]] = f.Metric
		}
	}
	return out
}

// having finds the metric with a label's value.
func having(t *testing.T, metrics []*dto.Metric, value string) *dto.Metric {
	t.Helper()
	for _, m := range metrics {
		for _, l := range m.Label {
			if l.GetValue() == value {
				return m
			}
		}
	}
	t.Fatalf("nothing is labelled %q", value)
	return nil
}

func TestLatencyIsThatOfEverySixtyFourth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New()
		q := observed()
		q.Transport = query.DoT
		for i := range 2*sampleEvery + 1 { // the first, the 65th and the 129th are measured
			q.Received = time.Now()
			if i%sampleEvery == 0 {
				time.Sleep(3 * time.Millisecond)
			}
			c.Observe(&q)
		}
		families := gather(t, c.Source())
		h := having(t, families[nameLatency], "dot").GetHistogram()
		if h.GetSampleCount() != 3 || h.GetSampleSum() != 0.009 {
			t.Errorf("%d samples of %v s together", h.GetSampleCount(), h.GetSampleSum())
		}
		for _, b := range h.Bucket {
			want := uint64(0)
			if b.GetUpperBound() >= 0.003 {
				want = 3
			}
			if b.GetCumulativeCount() != want {
				t.Errorf("%d up to %v s, want %d", b.GetCumulativeCount(), b.GetUpperBound(), want)
			}
		}
		if n := having(t, families[nameLatency], "udp").GetHistogram().GetSampleCount(); n != 0 {
			t.Errorf("%d samples of UDP", n)
		}
	})
}

func TestADurationAsLongAsABoundIsWithinIt(t *testing.T) {
	c := New()
	for _, d := range []time.Duration{0, time.Millisecond, time.Millisecond + 1, time.Hour} {
		c.shards[0].latency[query.UDP].add(d)
	}
	d := c.latency(func(s *shard) *histogram { return &s.latency[query.UDP] })
	if d.buckets[0.001] != 2 || d.buckets[0.002] != 3 || d.buckets[1] != 3 || d.count != 4 {
		t.Errorf("%+v", d)
	}
}

// Every number that a client can write is counted as something with a name.
func TestEveryTypeAndRcodeHasALabel(t *testing.T) {
	for n := range 1 << 16 {
		if typeNames[typeOf(uint16(n))] == "" || rcodeNames[rcodeOf(uint16(n))] == "" {
			t.Fatalf("type or rcode %d has no label", n)
		}
	}
	for _, known := range types {
		if typeNames[typeOf(known.code)] != known.name {
			t.Errorf("type %d is called %s", known.code, typeNames[typeOf(known.code)])
		}
	}
}

func TestNothingIsSentForSilence(t *testing.T) {
	c := New()
	c.Observe(&query.Query{Message: make([]byte, 3), Verdict: query.Silent})
	families := gather(t, c.Source())
	if n := having(t, families[nameReceived], "udp").GetCounter().GetValue(); n != 3 {
		t.Errorf("received %v bytes", n)
	}
	for _, name := range []string{nameAnswers, nameSent, nameTruncated} {
		for _, m := range families[name] {
			if m.GetCounter().GetValue() != 0 {
				t.Errorf("%s: %v", name, m)
			}
		}
	}
}
