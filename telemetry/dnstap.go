package telemetry

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"domainpark/query"
)

const (
	// tapMessages and tapBytes bound what waits for the collector: a second of
	// 10,000 queries, or as many as fit.
	tapMessages = 10_000
	tapBytes    = 16 << 20

	// tapTimeout bounds each step with a collector: a connection, a write, the
	// end. One that reads slower than this is as good as gone.
	tapTimeout = 5 * time.Second

	// A collector that is gone is tried again after tapRetry, and then after
	// twice as long each time, up to tapRetryMost.
	tapRetry     = time.Second
	tapRetryMost = 30 * time.Second

	// tapEnd bounds what is sent when the server ends.
	tapEnd = 2 * time.Second

	// tapFlush is how long a message waits in memory at most.
	tapFlush = 100 * time.Millisecond
)

// Tap sends every query and its answer to a dnstap collector (dnstap.info), as
// AUTH_QUERY and AUTH_RESPONSE in Frame Streams. Whoever answers queries puts
// copies into a bounded queue and never waits; when the collector is gone, or
// slower than the queries come, messages are lost and counted. Run connects
// anew for as long as it takes.
type Tap struct {
	cfg   TapConfig
	dial  func(ctx context.Context, network, address string) (net.Conn, error)
	queue chan *tapped
	spare sync.Pool    // of *tapped
	bytes atomic.Int64 // waiting in queue

	dropped       atomic.Uint64 // messages for which there was no room in the queue
	written, lost atomic.Uint64 // Run alone adds to these
	connected     atomic.Bool
}

// TapConfig says where messages go and whose they are.
type TapConfig struct {
	Network, Address  string       // of the collector: unix and a path, or tcp and host:port
	Identity, Version string       // of this server; empty: not told
	Log               *slog.Logger // nil: the default of when Run begins
}

// tapped is what is kept of a query until it is sent.
type tapped struct {
	received, answered time.Time
	client             netip.AddrPort
	transport          query.Transport
	query, answer      int    // bytes, both in message
	message            []byte // of its own; the query and behind it the answer
}

// NewTap makes a tap that sends nothing before Run.
func NewTap(cfg TapConfig) *Tap {
	return &Tap{cfg: cfg, dial: (&net.Dialer{Timeout: tapTimeout}).DialContext, queue: make(chan *tapped, tapMessages), spare: sync.Pool{New: func() any { return new(tapped) }}}
}

// Observe puts q, whose Verdict is final, into the queue. It never blocks and
// keeps nothing of q. It is safe for concurrent use.
func (t *Tap) Observe(q *query.Query) {
	size := int64(len(q.Message) + len(q.Answer))
	if len(t.queue) == cap(t.queue) || t.bytes.Load()+size > tapBytes {
		t.drop(len(q.Answer))
		return
	}
	e := t.spare.Get().(*tapped)
	e.received, e.answered, e.client, e.transport = q.Received, time.Now(), q.Client, q.Transport
	e.query, e.answer = len(q.Message), len(q.Answer)
	e.message = append(append(e.message[:0], q.Message...), q.Answer...)
	t.bytes.Add(size)
	select {
	case t.queue <- e:
	default:
		t.drop(len(q.Answer))
		t.release(e)
	}
}

// drop counts the messages of a query with an answer of so many bytes.
func (t *Tap) drop(answer int) { t.dropped.Add(messages(answer)) }

// messages is how many a query makes with an answer of so many bytes: itself,
// and the answer if there is one.
func messages(answer int) uint64 {
	if answer > 0 {
		return 2
	}
	return 1
}

// release gives back an entry, and what is queued of it.
func (t *Tap) release(e *tapped) {
	t.bytes.Add(-int64(e.query + e.answer))
	t.spare.Put(e)
}

// Run sends until ctx ends, and then what is queued, to a collector that still
// reads. It is for one goroutine, once.
func (t *Tap) Run(ctx context.Context) {
	log := cmp.Or(t.cfg.Log, slog.Default())
	wait := tapRetry
	var since time.Time // when the collector was lost; zero: never, or it is there
	for ctx.Err() == nil {
		began := time.Now()
		err := t.session(ctx, func() {
			if since.IsZero() {
				log.Info("dnstap: the collector takes messages", "address", t.cfg.Address)
			} else {
				log.Info("dnstap: the collector is back", "address", t.cfg.Address, "after", began.Sub(since).Round(time.Second), "lost", t.dropped.Load()+t.lost.Load())
			}
			since, wait = time.Time{}, tapRetry
		})
		if err == nil {
			return
		}
		if since.IsZero() {
			since = began
			log.Error("dnstap: messages are lost until the collector is there again", "address", t.cfg.Address, "reason", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, tapRetryMost)
	}
}

// session sends over one connection. It returns nil when ctx has ended, and
// calls ready when the collector takes messages.
func (t *Tap) session(ctx context.Context, ready func()) error {
	conn, err := t.dial(ctx, t.cfg.Network, t.cfg.Address)
	if err == nil {
		defer conn.Close()
		// Not at once: what is queued shall get there, and a collector that does
		// not read shall not keep the server from ending.
		end := context.AfterFunc(ctx, func() { time.AfterFunc(tapEnd, func() { conn.Close() }) })
		defer end()
	}
	var f *tapFrames
	if err == nil {
		f, err = newTapFrames(conn, &t.cfg)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	ready()
	t.connected.Store(true)
	defer t.connected.Store(false)
	tick := time.NewTicker(tapFlush)
	defer tick.Stop()
	for {
		select {
		case e := <-t.queue:
			err = t.send(f, e)
		case <-tick.C:
			err = f.flush()
		case <-ctx.Done():
			return t.finish(f)
		}
		if err != nil {
			return err
		}
	}
}

// finish sends what is queued, and tells the collector that this is all.
func (t *Tap) finish(f *tapFrames) error {
	for len(t.queue) > 0 {
		if t.send(f, <-t.queue) != nil {
			return nil // there is nobody any more to tell
		}
	}
	f.end()
	return nil
}

func (t *Tap) send(f *tapFrames, e *tapped) error {
	defer t.release(e)
	n := messages(e.answer)
	if err := f.write(e); err != nil {
		t.lost.Add(n)
		return err
	}
	t.written.Add(n)
	return nil
}

// Source is what becomes of the messages.
func (t *Tap) Source() Source {
	const (
		total     = "dnstap_messages_total"
		connected = "dnstap_connected"
	)
	return Source{
		Families: []Family{
			{total, Total, []string{"result"}, "Messages for the dnstap collector: written, dropped because it is gone or slower than the queries come, or failed because the connection broke. Each query is one message, and each answer another."},
			{connected, Level, nil, "1: the dnstap collector takes messages. 0: it is gone, and the log tells why."},
		},
		Read: func(s *Scrape) {
			if t == nil {
				return
			}
			s.add(total, t.written.Load(), "written")
			s.add(total, t.dropped.Load(), "dropped")
			s.add(total, t.lost.Load(), "failed")
			var up uint64
			if t.connected.Load() {
				up = 1
			}
			s.add(connected, up)
		},
	}
}
