package policy

import (
	"time"
)

// Response-rate limiting, in three parts: classOf says what sort of answer it
// is, charge asks the accounts, act says what becomes of the answer.
//
// An answer is charged to an account for its class and one for everything, and
// to both at three sizes of network: the client, its prefix, and the network
// around that. A wider network is given growth times as much as the one inside
// it. The narrowest account is asked first, and an answer that one of them
// refuses is not charged to those after it: a single host uses up its own
// allowance and never its network's, while a flood that is spread over a network
// meets the network's.
//
// An account is never kept for the name that was asked (below a parked domain
// every name exists, so a flood would just use another name for every query) and
// never for the answer alone (a large resolver gets the same answer for hundreds
// of parked domains), but for the base that both lie under.

// class is what sort of answer an account is kept for.
type class uint8

const (
	classAnswer class = iota
	classNoData       // NXDOMAIN with it: both say that nothing is there
	classError
	classAll // whatever is answered
	classes
)

// classNone is what no account is kept for: nothing is sent.
const classNone = classAll

var classNames = [classes]string{"answer", "nodata", "error", "all"}

func (c class) String() string { return classNames[c] }

// level is the size of network that an account is kept for.
type level uint8

const (
	levelClient  level = iota // an IPv4 address, an IPv6 /64
	levelPrefix               // ipv4prefix, ipv6prefix
	levelNetwork              // wider by widen
	levels
)

var levelNames = [levels]string{"client", "prefix", "network"}

func (l level) String() string { return levelNames[l] }

// growth is how much more a network gets than one that is a level inside it:
// three hosts may flood at once before a fourth one in the same prefix feels it.
const growth = 4

// widen is how many bits shorter than the prefix the network is, by family:
// /24 and /20, /56 and /48.
var widen = [families]uint8{4, 8}

// Action is what becomes of an answer.
type Action uint8

// The actions.
const (
	Send Action = iota // as it is
	Slip               // empty, with TC=1 and its OPT: a real client comes back over TCP
	Drop               // not at all
)

// String is the name that metrics and logs use.
func (a Action) String() string {
	switch a {
	case Send:
		return "send"
	case Slip:
		return "slip"
	case Drop:
		return "drop"
	}
	return "unknown"
}

// responses is the response-rate limit of one set of settings. It is safe for
// concurrent use.
type responses struct {
	cfg     Responses
	keys    keyring
	table   *table
	plans   [classAll]plan
	lengths [families][levels]uint8
}

// maxAccounts is how many an answer can be charged to: two a level.
const maxAccounts = 2 * int(levels)

// account is one that an answer is charged to.
type account struct {
	class     class
	level     level
	named     bool   // kept for each base
	kind      uint64 // tells its buckets from those of other accounts
	allowance allowance
}

// newResponses returns nil when no limit is set.
func newResponses(cfg Responses, epoch time.Time) *responses {
	if cfg.Rate == 0 && cfg.Errors == 0 && cfg.All == 0 {
		return nil
	}
	r := &responses{cfg: cfg, keys: newKeyring(), table: newTable(cfg.Table, epoch)}
	for f, length := range [families]int{cfg.IPv4Prefix, cfg.IPv6Prefix} {
		r.lengths[f] = [levels]uint8{clientLength[f], uint8(length), uint8(length) - widen[f]}
	}
	for c := range r.plans {
		r.plans[c] = newPlan(cfg, class(c), &r.keys)
	}
	return r
}

// plan lists the accounts of a class in the order in which they are charged.
type plan struct {
	accounts []account
	kinds    [families]uint64 // of the first account, as keyring.kind returns it
	named    bool             // the first account is
	lease    int              // how many answers the first account may pay for at once; 0: it is shared with other classes, and may not
}

func newPlan(cfg Responses, c class, k *keyring) (p plan) {
	rate, named := cfg.Rate, true
	if c == classError && cfg.Errors > 0 {
		rate, named = cfg.Errors, false
	}
	factor := 1
	for l := range levels {
		for _, a := range []account{
			{c, l, named, kindOf(c, l), perSecond(rate * factor)},
			{classAll, l, false, kindOf(classAll, l), perSecond(cfg.All * factor)},
		} {
			if a.allowance.on() {
				p.accounts = append(p.accounts, a)
			}
		}
		factor *= growth
	}
	if len(p.accounts) == 0 || p.accounts[0].class == classAll {
		return p
	}
	p.named = named
	for f := range families {
		p.kinds[f] = k.kind(f, p.accounts[0].kind)
	}
	own := &p.accounts[0].allowance
	own.first = min(own.first, maxTrials)
	p.lease = maxFirst
	for _, a := range p.accounts[1:] {
		p.lease = min(p.lease, a.allowance.first)
	}
	return p
}

func kindOf(c class, l level) uint64 { return uint64(c)*uint64(levels) + uint64(l) }

// charge takes one answer from every account of its plan, after the first one, with
// that key, was found without credit. It returns the account that refused, or nil.
//
// The first account, the client's own, pays for several answers at once when it
// is busy, and all the others with it: what it then has in credit is paid for
// everywhere, and the next answers end at its spend below. A bucket that does
// not exist can't refuse; it is made when all have agreed, so that answers that
// are not sent push nothing out of the table.
func (r *responses) charge(p *plan, c client, key, name uint64, now time.Time) *account {
	if p.lease == 0 {
		_, refused := r.chargeAll(c, p.accounts, 0, now, 1)
		return refused
	}
	first := &p.accounts[0]
	var own slot
	r.table.find(&own, key)
	n := r.table.offer(&own, &first.allowance, now, p.lease)
	if n == 0 {
		return first
	}
	n = max(n, 1) // absent: it will be made, and full
	n, refused := r.chargeAll(c, p.accounts[1:], name, now, n)
	if refused == nil && !r.table.pay(&own, &first.allowance, now, n) {
		return first
	}
	return refused
}

// chargeAll charges accounts for n answers, or for one when one of them has
// little left, and returns for how many.
func (r *responses) chargeAll(c client, accounts []account, name uint64, now time.Time, n int) (int, *account) {
	var slots [maxAccounts]slot
	var got [maxAccounts]int
	paid := n
	for i := range accounts {
		r.find(&slots[i], c, &accounts[i], name)
	}
	for i := range accounts {
		a := &accounts[i]
		switch got[i] = r.table.draw(&slots[i], &a.allowance, now, paid); {
		case got[i] == 0:
			r.giveBack(slots[:i], got[:i], n)
			return 0, a
		case got[i] > 0:
			paid = got[i]
		}
	}
	for i := range accounts {
		a := &accounts[i].allowance
		if got[i] != absent || r.table.create(&slots[i], uint64(a.first-paid)) {
			continue
		}
		switch got[i] = r.table.draw(&slots[i], a, now, paid); {
		case got[i] == 0:
			r.giveBack(slots[:i], got[:i], n)
			return 0, &accounts[i]
		case got[i] > 0:
			paid = got[i]
		}
	}
	for i := range accounts {
		if got[i] > paid {
			r.table.refund(&slots[i], got[i]-paid)
		}
	}
	return paid, nil
}

// giveBack returns what accounts paid for n answers that are not sent. For one
// answer it is not worth the time: a flood would pay for it with ours.
func (r *responses) giveBack(slots []slot, got []int, n int) {
	for i := range slots {
		if n > 1 && got[i] > 0 {
			r.table.refund(&slots[i], got[i])
		}
	}
}

// find makes s the slot of an account.
func (r *responses) find(s *slot, c client, a *account, name uint64) {
	if !a.named {
		name = 0
	}
	r.table.find(s, r.keys.key(c.within(r.lengths[c.family][a.level]), a.kind, name))
}

// act says what becomes of the nth limited answer.
func (r *responses) act(nth uint64) Action {
	if r.cfg.Slip > 0 && nth%uint64(r.cfg.Slip) == 0 {
		return Slip
	}
	return Drop
}
