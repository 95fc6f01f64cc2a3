package main

import (
	"context"
	"iter"

	"domainpark/audit"
)

// auditEach audits domains, parallel of them at once, and yields the reports in
// the order of the domains. It ends early with ctx, and yields only reports
// that were complete then.
func auditEach(ctx context.Context, a *audit.Audit, domains []string, parallel int) iter.Seq[*audit.Report] {
	return func(yield func(*audit.Report) bool) {
		ctx, cancel := context.WithCancel(ctx)
		pending := make(chan chan *audit.Report, parallel-1)
		go func() {
			defer close(pending)
			for _, domain := range domains {
				report := make(chan *audit.Report, 1)
				select {
				case pending <- report:
				case <-ctx.Done():
					return
				}
				go func() { report <- a.Domain(ctx, domain) }()
			}
		}()
		defer func() { // nothing is left behind
			cancel()
			for report := range pending {
				<-report
			}
		}()
		for report := range pending {
			r := <-report
			if ctx.Err() != nil || !yield(r) {
				return
			}
		}
	}
}
