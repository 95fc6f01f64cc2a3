package policy

import (
	"time"

	"golang.org/x/time/rate"
)

// An allowance is what one bucket gives.
type allowance struct {
	limit rate.Limit // a second
	burst int        // at once; the limiter's bucket holds that many
	first int        // given on credit to a new bucket, before its limiter is asked; at least 1
	batch int        // taken ahead when more than half of the tokens are there
}

// maxFirst and maxBatch bound what a bucket holds that its limiter does not
// see: thirty-two make the limiter's share of a query's cost small (45 ns / 32),
// more would gain nothing. Both must fit a word's credit together with a lease.
const (
	maxFirst = 32
	maxBatch = 64

	// maxTrials is how many payments a bucket that pays for others makes before
	// its limiter is made: as many as a word counts, and the one that made the
	// bucket.
	maxTrials = trialMask + 1
)

// perSecond is the allowance of n a second with bursts of that many: what was
// not used for a second can be used at once. Zero n is no limit at all.
func perSecond(n int) allowance { return burstOf(n, n) }

func burstOf(n, burst int) allowance {
	return allowance{
		limit: rate.Limit(n),
		burst: burst,
		first: min(max(burst/8, 1), maxFirst),
		batch: min(burst/8, maxBatch),
	}
}

// on tells whether there is a limit at all.
func (a *allowance) on() bool { return a.limit > 0 }

// onTrial tells whether a bucket with word w may pay for one more before its
// limiter is made: making it and charging it costs 130 ns, and most are
// forgotten before they paid for more than a few. The first payment made the
// bucket.
func (a *allowance) onTrial(w uint64) bool {
	return w&liveFlag == 0 && trials(w) < min(a.first-1, trialMask)
}

// ahead is how many tokens to take at once: up to want of what a limiter holds
// above one half; one when that is less than least.
func (a *allowance) ahead(tokens float64, least, want int) int {
	if spare := int(tokens) - (a.burst+1)/2; spare >= least {
		return min(want, spare)
	}
	return 1
}

// absent is what a table says of a key that it does not know.
const absent = -1

// allow takes one from the bucket of h, which is made when there is none.
func (t *table) allow(h uint64, a *allowance, now time.Time) bool {
	if t.spend(h) {
		return true
	}
	var s slot
	t.find(&s, h)
	return t.charge(&s, a, now)
}

// charge takes one from the bucket of s, which is made when there is none.
func (t *table) charge(s *slot, a *allowance, now time.Time) bool {
	got := t.draw(s, a, now, 1)
	if got == absent && !t.create(s, uint64(a.first-1)) {
		got = t.draw(s, a, now, 1)
	}
	return got != 0
}

// draw takes n from the bucket of s and returns how many it got: n, or 1 when
// the bucket is less than half full, or 0, or absent. n is at most a.first.
func (t *table) draw(s *slot, a *allowance, now time.Time, n int) int {
	switch {
	case s.way < 0:
		return absent
	case s.spend(uint64(n)):
		return n
	case t.shut(s, now):
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	got := t.take(s, a, now, n, n+a.batch)
	if got <= 1 {
		return got
	}
	s.deposit(s.way, got-n)
	return n
}

// offer says how many answers the bucket of s would pay for at once: the more
// the busier it is, up to most, one when it is less than half full, 0 when its
// limiter refuses, or absent. Nothing is taken: see pay.
func (t *table) offer(s *slot, a *allowance, now time.Time, most int) int {
	switch {
	case s.way < 0:
		return absent
	case t.shut(s, now):
		return 0
	case a.onTrial(s.word):
		return 1
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.look(); s.way < 0 {
		return absent
	}
	want := min(2*int(heat(s.word))+1, most)
	_, _, tokens := t.limiter(s, a, now)
	if tokens < 1 {
		return 0
	}
	return a.ahead(tokens, 1, want)
}

// pay takes n from the limiter of s, puts all but one into its credit, and
// tells whether the limiter had them: somebody else may have taken what was
// offered. The bucket is made when there is none.
func (t *table) pay(s *slot, a *allowance, now time.Time, n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.look(); s.way < 0 {
		t.insert(s, 0)
		return true
	}
	if n == 1 && a.onTrial(s.word) {
		s.change(s.way, func(w uint64) uint64 { return warmer(w) + 1<<trialShift })
		return true
	}
	if l, at, _ := t.limiter(s, a, now); !l.AllowN(at, n) {
		return false
	}
	s.change(s.way, func(w uint64) uint64 { return warmer(w) &^ shutFlag })
	s.deposit(s.way, n-1)
	return true
}

// create makes the bucket of s with that much credit. It returns false when
// somebody else just made it: then nobody has paid there for who calls, and s
// is to be drawn from like any other.
func (t *table) create(s *slot, credit uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.look(); s.way >= 0 {
		return false
	}
	t.insert(s, credit)
	return true
}

// refund gives back n that were drawn from the bucket of s, when it still is there.
func (t *table) refund(s *slot, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.look(); s.way >= 0 {
		s.deposit(s.way, n)
	}
}

// take asks the limiter of s for least to want tokens, for one when it is about
// half full, and returns how many it gave, or absent when the key has lost its
// way meanwhile. The caller holds s.mu.
func (t *table) take(s *slot, a *allowance, now time.Time, least, want int) int {
	if s.look(); s.way < 0 {
		return absent
	}
	l, at, tokens := t.limiter(s, a, now)
	if tokens < 1 {
		return 0
	}
	n := a.ahead(tokens, least, want)
	if !l.AllowN(at, n) {
		return 0
	}
	s.change(s.way, func(w uint64) uint64 { return warmer(w) &^ shutFlag })
	return n
}

// limiter is the limiter of s, what time it is for it and what it then holds.
// When that is less than one token, the way is shut until there is one. The
// caller holds s.mu and has made sure that s has a way.
func (t *table) limiter(s *slot, a *allowance, now time.Time) (l *rate.Limiter, at time.Time, tokens float64) {
	b := t.bucket(s)
	since := int64(now.Sub(t.epoch))
	if s.word&liveFlag == 0 {
		b.latest = since
		b.enliven(a, now)
		s.change(s.way, func(w uint64) uint64 { return w | liveFlag })
	}
	if since < b.latest {
		since, now = b.latest, t.epoch.Add(time.Duration(b.latest))
	}
	b.latest = since
	tokens = b.limiter.TokensAt(now)
	if tokens < 1 {
		b.shut.Store(since + untilOne(tokens, a.limit))
		s.change(s.way, func(w uint64) uint64 { return warmer(w) | shutFlag })
	}
	return &b.limiter, now, tokens
}

// enliven makes the limiter one that has been idle for long, and is therefore
// full, and charges it for what its bucket gave on credit.
func (b *bucket) enliven(a *allowance, now time.Time) {
	b.limiter.SetLimitAt(time.Time{}, a.limit)
	b.limiter.SetBurstAt(time.Time{}, a.burst)
	b.limiter.AllowN(now, a.first)
}

// untilOne is in how many nanoseconds a limiter will hold a whole token. A
// limiter truncates to nanoseconds, hence one more.
func untilOne(tokens float64, limit rate.Limit) int64 {
	return int64((1-tokens)/float64(limit)*1e9) + 1
}

// shut tells whether the limiter of s is known to have no token yet. It keeps
// a flood away from the lock: no write, once the way is as warm as can be.
func (t *table) shut(s *slot, now time.Time) bool {
	if s.word&shutFlag == 0 || int64(now.Sub(t.epoch)) >= t.bucket(s).shut.Load() {
		return false
	}
	if w := s.word; heat(w) < maxHeat {
		s.words[s.way].CompareAndSwap(w, warmer(w)) // lost to another use: that warms as well
	}
	return true
}

// deposit adds n to the credit of way i, as far as it holds it. The caller holds
// s.mu.
func (s *set) deposit(i, n int) {
	s.change(i, func(w uint64) uint64 {
		return w + min(uint64(n), creditMask-credit(w))<<creditShift
	})
}
