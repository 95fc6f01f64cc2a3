package policy

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// A table is a bounded store of token buckets, found by a keyed hash.
//
// It is set-associative like a processor's cache: the hash picks a set, and
// within its set a key may sit in any of the seven ways. A word for each way
// holds a fingerprint of its key, how warm it is, and its credit; the seven words
// and the lock fill one cache line.
//
// Forgetting. A key that is new to a full set takes the place of the coldest of
// the seven: each use warms a way up to maxHeat, each newcomer cools the ways
// that it passes over. One insertion looks at fourteen words at most, however
// full the table is and whatever is thrown at it. A bucket that is used once for
// every seven newcomers of its set stays; what is forgotten is a bucket that was
// hardly used, and a forgotten bucket is a full one: forgetting never limits
// anybody.
//
// Credit. AllowN of a rate.Limiter costs 45 ns on the machine this was written
// on, five of them its mutex and the rest its arithmetic on times and floats. A
// query has up to seven accounts and a budget of 120 ns for all of policy. So a
// bucket with more than half of its tokens left takes several from its limiter
// at once and spends them one by one with a compare-and-swap on the word. Tokens
// are always taken before they are spent: nobody is ever given more than the
// limiter allowed. With less than half left, a bucket takes one at a time.
//
// Time. Workers read the clock at different moments, and a rate.Limiter that is
// told an earlier time than before fills up twice for the same span: eight
// workers, up to a second apart, were given 77 times their allowance in
// TestWorkersTogetherGetOneAllowance. So a bucket remembers the latest time that
// its limiter was told, and never goes back.
//
// A new bucket starts with a few tokens on credit and touches its limiter only
// when those are spent, so that a flood of sources that are seen once costs no
// limiter at all; the limiter is then charged for them.
//
// A table is safe for concurrent use and allocates nothing after newTable.
type table struct {
	sets    []set
	buckets []bucket        // of the first set's ways, the second's …; those of a set are guarded by its lock
	epoch   time.Time       // what the buckets' times count from
	counts  [16]tableCounts // sets share one by their index
}

type tableCounts struct {
	inserted atomic.Uint64
	filled   atomic.Uint64 // insertions into an empty way
	_        [48]byte
}

// ways is how many keys share a set. Seven words and a mutex are 64 bytes.
const ways = 7

// set is one cache line. Its buckets lie elsewhere, so that all sets of a table
// of the usual size, 0.9 MB, fit into a second-level cache.
type set struct {
	words [ways]atomic.Uint64
	mu    sync.Mutex // guards which key a word stands for
}

// bucket is meaningful when its word says live. Times are nanoseconds since the
// table's epoch.
type bucket struct {
	limiter rate.Limiter
	latest  int64        // what the limiter was last told
	shut    atomic.Int64 // when the next token is there; meaningful when the word says shut
}

// A word, from its lowest bit: 4 bits heat, the two flags, 2 bits trials, 8 bits
// credit, 48 bits fingerprint. Zero is an empty way.
const (
	heatMask    = 0xf
	maxHeat     = heatMask
	liveFlag    = 1 << 4 // the limiter belongs to this key
	shutFlag    = 1 << 5 // the limiter refused: look at bucket.shut first
	trialShift  = 6      // payments before the limiter is made
	trialMask   = 3
	creditShift = 8
	creditMask  = 0xff
	tagShift    = 16
)

func heat(w uint64) uint64   { return w & heatMask }
func credit(w uint64) uint64 { return w >> creditShift & creditMask }

func trials(w uint64) int { return int(w >> trialShift & trialMask) }

func warmer(w uint64) uint64 {
	if heat(w) < maxHeat {
		return w + 1
	}
	return w
}

// newTable makes room for at least n buckets, about 105 bytes each.
func newTable(n int, epoch time.Time) *table {
	sets := (n + ways - 1) / ways
	return &table{sets: make([]set, sets), buckets: make([]bucket, sets*ways), epoch: epoch}
}

// A slot is where a key lives in a table, or might.
type slot struct {
	*set
	index uint64 // of the set
	tag   uint64 // the key's fingerprint, never zero
	way   int    // -1: the key is not there
	word  uint64
}

// find makes s the slot of a key: the upper bits of its hash choose the set,
// the lower ones are its fingerprint. It fills in what the caller has, because
// returning a slot costs 5 ns of copying.
func (t *table) find(s *slot, h uint64) {
	i, _ := bits.Mul64(h, uint64(len(t.sets)))
	s.set, s.index, s.tag = &t.sets[i], i, h<<tagShift>>tagShift|1
	s.look()
}

// spend takes one from the credit of the bucket of h, and tells whether it could:
// there may be no bucket, no credit, or somebody else who was faster. Nearly all
// queries of known clients end here, without a slot: half of the instructions of
// find with the spend of a slot, which are 110.
func (t *table) spend(h uint64) bool {
	i, _ := bits.Mul64(h, uint64(len(t.sets)))
	words, tag := &t.sets[i].words, (h|1)<<tagShift
	for i := range words {
		if w := words[i].Load(); w-tag < 1<<tagShift {
			return takeOne(&words[i], w)
		}
	}
	return false
}

// takeOne takes one from the credit of a way whose word is w.
func takeOne(way *atomic.Uint64, w uint64) bool {
	return w&(creditMask<<creditShift) != 0 && way.CompareAndSwap(w, warmer(w-1<<creditShift))
}

// look sets way and word.
func (s *slot) look() {
	tag := s.tag
	words := &s.set.words
	for i := range words {
		if w := words[i].Load(); w>>tagShift == tag {
			s.way, s.word = i, w
			return
		}
	}
	s.way = -1
}

// bucket is the one that the word of s stands for.
func (t *table) bucket(s *slot) *bucket { return &t.buckets[s.index*ways+uint64(s.way)] }

// spend takes n from the credit of s, when it still is the key's and has them.
func (s *slot) spend(n uint64) bool {
	if s.way < 0 {
		return false
	}
	word := &s.words[s.way]
	for w := s.word; w>>tagShift == s.tag && credit(w) >= n; w = word.Load() {
		if word.CompareAndSwap(w, warmer(w-n<<creditShift)) {
			return true
		}
	}
	return false
}

// change replaces the word of way i by what f makes of it. The caller holds
// s.mu, so that only credit and heat can change under it.
func (s *set) change(i int, f func(w uint64) uint64) {
	for {
		w := s.words[i].Load()
		if s.words[i].CompareAndSwap(w, f(w)) {
			return
		}
	}
}

// insert gives the key of s a way with that much credit. The caller holds s.mu
// and has made sure that the key has none.
func (t *table) insert(s *slot, credit uint64) {
	n := &t.counts[s.index%uint64(len(t.counts))]
	i := s.coldest(int(n.inserted.Add(1) % ways))
	if s.words[i].Swap(s.tag<<tagShift|credit<<creditShift) == 0 {
		n.filled.Add(1)
	}
}

// coldest returns an empty way, whoever else has gone cold: a bucket that is
// forgotten too early is an allowance given twice. Else it is the first without heat that a
// clock's hand meets, which takes one from the heat of every way that it
// passes over. Where the hand starts must not depend on the key: two keys would
// push each other out for ever.
func (s *set) coldest(start int) int {
	for i := range s.words {
		if s.words[i].Load() == 0 {
			return i
		}
	}
	i, least := start, uint64(maxHeat)
	for range ways {
		w := s.words[i].Load()
		if heat(w) == 0 {
			return i
		}
		least = min(least, heat(w))
		s.cool(i, 1)
		i = next(i)
	}
	return s.turn(start, least)
}

// turn is the rest of the hand's way when no way was without heat: as many
// rounds as the least warm one had, all but the first of them in one go.
func (s *set) turn(start int, least uint64) int {
	victim := -1
	for i, k := start, 0; k < ways; i, k = next(i), k+1 {
		if h := heat(s.words[i].Load()); victim < 0 && h < least {
			victim = i
		}
		s.cool(i, least-1)
	}
	return max(victim, 0)
}

func next(i int) int {
	if i++; i == ways {
		return 0
	}
	return i
}

// cool takes n from the heat of way i, as far as it has it.
func (s *set) cool(i int, n uint64) {
	if n > 0 {
		s.change(i, func(w uint64) uint64 { return w - min(n, heat(w)) })
	}
}

// evictions is how many buckets made room for another.
func (t *table) evictions() (n uint64) {
	for i := range t.counts {
		n += t.counts[i].inserted.Load() - t.counts[i].filled.Load()
	}
	return n
}
