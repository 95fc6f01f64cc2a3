package policy

import "domainpark/query"

// classOf says which account an answer belongs to, for whatever a byte holds: no
// bounds are to be checked.
var classOf = [256]class{
	query.KindNone:      classNone,
	query.KindAnswer:    classAnswer,
	query.KindReferral:  classAnswer,
	query.KindChaos:     classAnswer,
	query.KindCookie:    classAnswer,
	query.KindNoData:    classNoData,
	query.KindNXDomain:  classNoData,
	query.KindRefused:   classError,
	query.KindFormErr:   classError,
	query.KindNotImp:    classError,
	query.KindBadVers:   classError,
	query.KindBadCookie: classError,
	query.KindServFail:  classError,
}

// Limit says what becomes of the answer to q. It needs what the listener fills
// in, q.Base, q.Kind and what Admit and Cookie set. It is to be called for every
// query that was admitted, also for one that is not answered: here it is counted.
func (g *Guard) Limit(q *query.Query) Action {
	cl := classOf[q.Kind]
	r := g.rules.Load().responses
	if cl >= classNone || r == nil || !q.Transport.Spoofable() || q.Cookie == query.CookieValid || q.Trusted {
		g.counters.shard(q.Worker).endings[endingOf(q.Cookie, cl, outcomeExempt)].Add(1)
		return Send
	}
	p, name := &r.plans[cl], uint64(0)
	if p.named {
		name = r.keys.name(q.Base)
	}
	var c client
	kind := p.kinds[ipv4] // 0 when no account is the client's own: there is no bucket then
	if addr := q.Client.Addr(); addr.Is4() {
		c = ipv4Client(addr)
	} else {
		c = clientOf(addr)
		kind = p.kinds[c.family]
	}
	key := r.keys.join(c, kind, name)
	if !r.table.spend(key) {
		return g.limit(r, q, cl, c, key, name)
	}
	g.counters.shard(q.Worker).endings[endingOf(q.Cookie, cl, outcomeSent)].Add(1)
	return Send
}

// limit is Limit for an answer that the client has no credit for.
func (g *Guard) limit(r *responses, q *query.Query, cl class, c client, key, name uint64) Action {
	s := g.counters.shard(q.Worker)
	by := r.charge(&r.plans[cl], c, key, name, q.Received)
	if by == nil {
		s.endings[endingOf(q.Cookie, cl, outcomeSent)].Add(1)
		return Send
	}
	s.limited[by.class][by.level].Add(1)
	g.episodes.note(c, r.lengths[c.family][by.level], subject(by.class), q.Worker, q.Received)
	if r.cfg.DryRun {
		s.endings[endingOf(q.Cookie, cl, outcomeSpared)].Add(1)
		return Send
	}
	if act := r.act(s.nth.Add(1)); act == Slip {
		s.endings[endingOf(q.Cookie, cl, outcomeSlipped)].Add(1)
		return Slip
	}
	s.endings[endingOf(q.Cookie, cl, outcomeDropped)].Add(1)
	return Drop
}
