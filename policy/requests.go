package policy

import "time"

// requests limits the queries of one client over all transports together. It
// has a table of its own, so that a flood of answers pushes nothing out of it.
// It is safe for concurrent use.
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

func (r *requests) allow(c client, now time.Time) bool {
	return r.table.allow(r.keys.key(c.within(clientLength[c.family]), 0, 0), &r.allowance, now)
}
