package telemetry

import (
	"fmt"
	"sync/atomic"

	"domainpark/query"
)

// Names of the metrics of Counters.
const (
	nameQueries   = "queries_total"
	nameKinds     = "queries_by_kind_total"
	nameTypes     = "queries_by_type_total"
	nameAnswers   = "answers_total"
	nameTruncated = "truncated_answers_total"
	nameReceived  = "received_bytes_total"
	nameSent      = "sent_bytes_total"
	nameLatency   = "answer_duration_seconds"
)

var queryFamilies = []Family{
	{nameQueries, Total, []string{"transport", "verdict"},
		"Queries by how they ended. Each query ends in exactly one verdict: answered (NOERROR or NXDOMAIN), refused (an error was sent), slipped (over a limit, sent truncated), dropped (over a limit or denied, nothing was sent), silent (no query at all, nothing was sent). The sum is what was received."},
	{nameKinds, Total, []string{"transport", "kind"},
		"Queries by the kind of answer they got, or would have got if no limit had stopped it; none: silence, or stopped before there was an answer. The sum is that of queries_total."},
	{nameTypes, Total, []string{"transport", "type"},
		"Queries by QTYPE; none: no question, or none that could be read. The sum is that of queries_total."},
	{nameAnswers, Total, []string{"transport", "rcode"},
		"Answers by response code. The sum is that of the verdicts answered, refused and slipped in queries_total."},
	{nameTruncated, Total, []string{"transport"},
		"Answers that were sent with TC=1, because the client takes no larger ones or because of a limit."},
	{nameReceived, Total, []string{"transport"},
		"Bytes of the DNS messages in queries_total, without the length, TLS, HTTP or IP around them."},
	{nameSent, Total, []string{"transport"},
		"Bytes of the DNS messages in answers_total, without the length, TLS, HTTP or IP around them."},
	{nameLatency, Durations, []string{"transport"},
		fmt.Sprintf("Time from when a query was received until its answer was ready to be written. UDP queries that arrive in one batch are received at once. Every %dth query of a worker or connection, transport, kind and verdict is measured, beginning with the first.", sampleEvery)},
}

// Source is what the counters show. All combinations of labels are shown from
// the start, so that a rate has a beginning.
func (c *Counters) Source() Source { return Source{queryFamilies, c.read} }

func (c *Counters) read(s *Scrape) {
	count := c.Snapshot()
	for t := range query.Transports {
		name := t.String()
		for v := query.Answered; v < query.Verdicts; v++ {
			s.add(nameQueries, count.Ended(t, v), name, v.String())
		}
		for k := range query.Kinds {
			s.add(nameKinds, count.answered(t, k), name, k.String())
		}
		for class, label := range typeNames {
			s.add(nameTypes, c.sum(func(s *shard) *atomic.Uint64 { return &s.more[t].types[class] }), name, label)
		}
		for code, label := range rcodeNames {
			if label != "" {
				s.add(nameAnswers, c.sum(func(s *shard) *atomic.Uint64 { return &s.more[t].rcodes[code] }), name, label)
			}
		}
		s.add(nameTruncated, c.sum(func(s *shard) *atomic.Uint64 { return &s.more[t].truncated }), name)
		s.add(nameReceived, c.sum(func(s *shard) *atomic.Uint64 { return &s.more[t].received }), name)
		s.add(nameSent, c.sum(func(s *shard) *atomic.Uint64 { return &s.more[t].sent }), name)
		s.addDurations(nameLatency, c.latency(func(s *shard) *histogram { return &s.latency[t] }), name)
	}
}

func (s *Scrape) add(family string, value uint64, labels ...string) {
	s.Add(family, float64(value), labels...)
}

// sum adds up one counter over all shards.
func (c *Counters) sum(pick func(*shard) *atomic.Uint64) (n uint64) {
	for i := range c.shards {
		n += pick(&c.shards[i]).Load()
	}
	return n
}
