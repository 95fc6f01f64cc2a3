package policy

import (
	"time"

	"domainpark/query"
)

// requests limits the queries of one client, in two accounts: one for what may
// be spoofed, one for all other transports together. Whoever forges queries in a
// client's name uses up the first and never touches the second. A valid cookie
// makes no difference: it is read after this.
//
// It has a table of its own, so that a flood of answers pushes nothing out of
// it. It is safe for concurrent use.
type requests struct {
	keys      keyring
	table     *table
	allowance allowance
	usual     uint64 // the kind of the accounts of IPv4 clients over UDP
}

// newRequests returns nil when there is no limit.
func newRequests(cfg Requests, buckets int, epoch time.Time) *requests {
	if cfg.Rate == 0 {
		return nil
	}
	r := &requests{keys: newKeyring(), table: newTable(buckets, epoch), allowance: burstOf(cfg.Rate, cfg.Burst)}
	r.usual = r.keys.kind(ipv4, r.account(query.UDP))
	return r
}

// account tells the two accounts of a client apart.
func (r *requests) account(t query.Transport) uint64 {
	if t.Spoofable() {
		return 1
	}
	return 0
}

func (r *requests) allow(c client, t query.Transport, now time.Time) bool {
	return r.table.allow(r.keys.key(c, r.account(t), 0), &r.allowance, now)
}
