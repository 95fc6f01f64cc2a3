package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"time"

	"domainpark/query"
)

// queueLines is how many queries wait to be written: 3 MiB, and at 100,000
// lines a second longer than a disk is usually busy.
const queueLines = 8192

// flushEvery is how long a line waits in memory at most, and how soon it is
// noticed that the file was moved away.
const flushEvery = time.Second

// QueryLog writes a sample of the queries to a file, as JSON lines. Whoever
// answers queries puts them into a bounded queue and never waits; a full
// queue, or a full disk, loses lines, which are counted.
type QueryLog struct {
	share uint64 // of all 64-bit numbers: which part of the queries is written
	queue chan entry
	again chan struct{} // of one element: the file is to be opened anew
	file  *logFile

	count *lineCounts
}

// lineCounts is what became of the lines of a log and of those before it.
type lineCounts struct {
	dropped         atomic.Uint64 // the queue was full
	written, failed atomic.Uint64 // Run alone adds to these
}

// entry is what is kept of a query until it is written.
type entry struct {
	received  time.Time
	client    netip.AddrPort
	message   int
	size      int
	qtype     uint16
	class     uint16
	rcode     uint16
	transport query.Transport
	kind      query.Kind
	verdict   query.Verdict
	cookie    query.CookieState
	edns      bool
	do        bool
	truncated bool
	named     uint16 // how much of name is in use; 0: there was no question
	name      [query.MaxNameBytes]byte
}

// OpenQueryLog opens or begins the file at path. sample is the part of the
// queries that is written, from 0 to 1. Nothing is written before Run.
func OpenQueryLog(path string, sample float64, log *slog.Logger) (*QueryLog, error) {
	file, err := openLogFile(path, log)
	if err != nil {
		return nil, err
	}
	return &QueryLog{share: shareOf(sample), queue: make(chan entry, queueLines), again: make(chan struct{}, 1), file: file, count: new(lineCounts)}, nil
}

// shareOf is sample as a part of all 64-bit numbers.
func shareOf(sample float64) uint64 {
	const all = 1 << 64
	if sample >= 1 {
		return all - 1
	}
	return uint64(max(0, sample) * all)
}

// Observe puts q, whose Verdict is final, into the queue if it is one of the
// sample. It allocates nothing, never blocks and keeps nothing of q. It is safe
// for concurrent use. With a sample of 1 % it costs 16 ns (BenchmarkQueryLog).
func (l *QueryLog) Observe(q *query.Query) {
	if rand.Uint64() <= l.share { // not every n-th: clients must not be able to count along
		l.enqueue(q)
	}
}

func (l *QueryLog) enqueue(q *query.Query) {
	e := entry{
		received: q.Received, client: q.Client, transport: q.Transport, message: len(q.Message), size: q.Size,
		qtype: q.Type, class: q.Class, rcode: q.Rcode, kind: q.Kind, verdict: q.Verdict, cookie: q.Cookie,
		edns: q.HasOPT, do: q.DO, truncated: q.Truncate,
	}
	e.named = uint16(copy(e.name[:], q.Name))
	select {
	case l.queue <- e:
	default:
		l.count.dropped.Add(1)
	}
}

// Run writes until ctx ends, and then what is in the queue. It is for one
// goroutine, once.
func (l *QueryLog) Run(ctx context.Context) {
	defer l.file.close()
	var lines bytes.Buffer
	encoder := json.NewEncoder(&lines)
	encoder.SetEscapeHTML(false)
	waiting := uint64(0)
	flush := func(now time.Time) {
		if l.file.write(lines.Bytes(), now) {
			l.count.written.Add(waiting)
		} else {
			l.count.failed.Add(waiting)
		}
		lines.Reset()
		waiting = 0
	}
	add := func(e *entry) {
		_ = encoder.Encode(e.line()) // of texts, numbers and a buffer: it can't fail
		waiting++
		if lines.Len() >= fileBytes {
			flush(time.Now())
		}
	}
	reopen := func() {
		l.drain(add)
		flush(time.Now())
		l.file.close()
		l.file.follow(time.Now())
	}
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case e := <-l.queue:
			add(&e)
		case now := <-tick.C:
			l.file.follow(now)
			flush(now)
		case <-l.again:
			reopen()
		case <-ctx.Done():
			select {
			case <-l.again: // whoever asked for it before the end relies on it
				reopen()
			default:
			}
			l.drain(add)
			flush(time.Now())
			return
		}
	}
}

// drain takes what waits now, and nothing that comes meanwhile: in a flood there
// would be no end to it.
func (l *QueryLog) drain(add func(*entry)) {
	for range len(l.queue) {
		e := <-l.queue
		add(&e)
	}
}

// Reopen has Run open the file anew, when what was queued before is written: for
// who has moved it away and wants to work on it now. Otherwise that is noticed
// within a second.
func (l *QueryLog) Reopen() {
	select {
	case l.again <- struct{}{}:
	default:
	}
}

// CountOn makes l, which has seen no query yet, count on where before does.
func (l *QueryLog) CountOn(before *QueryLog) { l.count = before.count }

// Close gives up the file of a log that is never run.
func (l *QueryLog) Close() { l.file.close() }

// QueryLogSource is what became of the lines of the log that current returns,
// nil for none.
func QueryLogSource(current func() *QueryLog) Source {
	const name = "query_log_lines_total"
	return Source{
		Families: []Family{{name, Total, []string{"result"},
			"Lines of the query log: written, dropped because the disk is slower than the queries come, or failed because the file can't be written. The sum is the sample of the queries, but for what waits."}},
		Read: func(s *Scrape) {
			l := current()
			if l == nil {
				return
			}
			s.add(name, l.count.written.Load(), "written")
			s.add(name, l.count.dropped.Load(), "dropped")
			s.add(name, l.count.failed.Load(), "failed")
		},
	}
}
