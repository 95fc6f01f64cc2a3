package policy

import (
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// subject is what a client exceeded.
type subject uint8

const (
	// The first ones are the classes of answers.
	subjectRequests subject = iota + subject(classes)
	subjectConnections
	subjectHandshakes
	subjectResumptions
	subjects
)

func (s subject) String() string {
	if s < subject(classes) {
		return classNames[s]
	}
	return [...]string{"requests", "connections", "handshakes", "resumptions"}[s-subjectRequests]
}

const (
	// episodeSlots is how many networks that are over a limit can be told
	// apart at a time; further ones are counted. A guess: more than anybody reads.
	episodeSlots = 256
	// episodeProbes is how many slots a network may be in.
	episodeProbes = 4
	// episodeShards keeps workers that drop the same flood from sharing a count.
	episodeShards = 4
	// episodeQuiet is for how long nothing may exceed the limit until limiting
	// is said to have ended. Shorter, and a flood in bursts fills the log.
	episodeQuiet = 10 * time.Second
	// episodeGrain is how exactly the end is known.
	episodeGrain = int64(100 * time.Millisecond)
	// nameBurst and nameEvery are the budget of beginnings that are named: ten
	// at once, then one in ten seconds. A few hundred forged packets a second put new
	// networks over their limit all day long, and each would be two lines.
	nameBurst = 10
	nameEvery = 10 * time.Second
	// tellEvery is how often the number of the others is logged, when there are any.
	tellEvery = 10 * time.Second
)

// episodes remembers which networks are over a limit, to log when that begins
// and when it ends and nothing in between. Its memory is bounded, and so is
// what report writes, over any time; note never waits.
type episodes struct {
	keys     keyring
	epoch    time.Time
	unlisted atomic.Uint64 // limitings that found no slot
	mu       sync.Mutex    // guards the plain fields of the slots
	slots    [episodeSlots]episode

	naming  *rate.Limiter // the budget of named beginnings; guarded by mu
	unnamed int           // began without a name and are not told of yet; guarded by mu
	told    time.Time     // when that was told last; guarded by mu
}

type episode struct {
	key    atomic.Uint64 // zero: free
	last   atomic.Int64  // nanoseconds since epoch, to episodeGrain
	counts [episodeShards]paddedCount

	prefix  netip.Prefix
	subject subject
	began   time.Time
	said    said
}

// said is what the log knows of an episode.
type said uint8

const (
	saidNothing said = iota
	saidBegins       // a line of its own; its end gets one too
	saidAmong        // counted in a line with others, now or soon; its end is not told
)

type paddedCount struct {
	atomic.Uint64
	_ [56]byte
}

func newEpisodes(epoch time.Time) *episodes {
	return &episodes{keys: newKeyring(), epoch: epoch, naming: rate.NewLimiter(rate.Every(nameEvery), nameBurst)}
}

// note remembers that something of the network of the first length bits was
// over a limit.
func (e *episodes) note(c client, length uint8, s subject, worker int, now time.Time) {
	h := e.keys.key(c.within(length), uint64(s)<<8|uint64(length), 0) | 1
	slot := e.find(h)
	if slot == nil {
		if slot = e.claim(h, c.prefix(length), s, now); slot == nil {
			e.unlisted.Add(1)
			return
		}
	}
	slot.counts[uint(worker)%episodeShards].Add(1)
	if at := int64(now.Sub(e.epoch)); at-slot.last.Load() > episodeGrain {
		slot.last.Store(at)
	}
}

func (e *episodes) find(h uint64) *episode {
	for i := range uint64(episodeProbes) {
		if slot := &e.slots[(h>>32+i)%episodeSlots]; slot.key.Load() == h {
			return slot
		}
	}
	return nil
}

// claim takes a free slot for h. It returns nil when there is none, or when
// somebody else is at it: that one packet goes unlisted.
func (e *episodes) claim(h uint64, prefix netip.Prefix, s subject, now time.Time) *episode {
	if !e.mu.TryLock() {
		return nil
	}
	defer e.mu.Unlock()
	if slot := e.find(h); slot != nil {
		return slot
	}
	for i := range uint64(episodeProbes) {
		slot := &e.slots[(h>>32+i)%episodeSlots]
		if slot.key.Load() != 0 {
			continue
		}
		slot.prefix, slot.subject, slot.began, slot.said = prefix, s, now, saidNothing
		slot.take() // what a late note left behind
		slot.last.Store(int64(now.Sub(e.epoch)))
		slot.key.Store(h)
		return slot
	}
	return nil
}

// event is something to log.
type event struct {
	begins  bool
	prefix  netip.Prefix
	subject subject
	count   uint64
	lasted  time.Duration
}

// report logs what began and what ended since the last report. What is already
// over when it is first looked at is logged as both.
func (e *episodes) report(log *slog.Logger, now time.Time, dryRun bool) {
	events, more := e.collect(now)
	for _, ev := range events {
		if ev.begins {
			log.Warn("limiting begins", "prefix", ev.prefix.String(), "over", ev.subject.String(), "dryrun", dryRun)
		} else {
			log.Info("limiting ends", "prefix", ev.prefix.String(), "over", ev.subject.String(),
				"limited", ev.count, "seconds", int64(ev.lasted.Seconds()))
		}
	}
	if more > 0 {
		log.Warn("limiting begins for further prefixes", "prefixes", more)
	}
}

// collect returns what is to be logged and frees the slots that have been
// quiet. Of what began beyond the budget of names it returns the number alone,
// and that no more often than tellEvery.
func (e *episodes) collect(now time.Time) (events []event, more int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range e.slots {
		slot := &e.slots[i]
		if slot.key.Load() == 0 {
			continue
		}
		if slot.said == saidNothing {
			if e.naming.AllowN(now, 1) {
				slot.said = saidBegins
				events = append(events, event{begins: true, prefix: slot.prefix, subject: slot.subject})
			} else {
				slot.said = saidAmong
				e.unnamed++
			}
		}
	}
	for i := range e.slots {
		slot := &e.slots[i]
		last := e.epoch.Add(time.Duration(slot.last.Load()))
		if slot.key.Load() == 0 || now.Sub(last) < episodeQuiet {
			continue
		}
		slot.key.Store(0)
		if n := slot.take(); slot.said == saidBegins {
			events = append(events, event{prefix: slot.prefix, subject: slot.subject, count: n, lasted: last.Sub(slot.began)})
		}
	}
	if e.unnamed > 0 && now.Sub(e.told) >= tellEvery {
		more, e.unnamed, e.told = e.unnamed, 0, now
	}
	return events, more
}

// take empties the counts.
func (s *episode) take() (n uint64) {
	for i := range s.counts {
		n += s.counts[i].Swap(0)
	}
	return n
}
