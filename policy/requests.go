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
}

// newRequests returns nil when there is no limit.
func newRequests(cfg Requests, buckets int, epoch time.Time) *requests {
	if cfg.Rate == 0 {
		return nil
	}
	return &requests{newKeyring(), newTable(buckets, epoch), burstOf(cfg.Rate, cfg.Burst)}
}

func (r *requests) allow(c client, t query.Transport, now time.Time) bool {
	kind := uint64(0)
	if t.Spoofable() {
		kind = 1
	}
	return r.table.allow(r.keys.key(c, kind, 0), &r.allowance, now)
}
