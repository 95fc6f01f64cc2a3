//go:build unix

package main

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"domainpark/certs"
	"domainpark/config"
	"domainpark/telemetry"
)

// rightsFindings are about what the user lacks that root's server is to become.
// They are found by becoming that user: nothing that needs root comes after. err
// is what the server would not start for.
func (p *plan) rightsFindings(elsewhere bool) (found []finding, err error) {
	id, err := identityOf(p.settings)
	if err != nil || elsewhere || id == nil || id.uid == 0 || os.Geteuid() != 0 {
		return nil, err
	}
	var wrong config.Problems
	tell := func(key string, err error) {
		if err != nil {
			text := strings.TrimLeft(strings.TrimPrefix(err.Error(), key), ": ")
			wrong = append(wrong, p.finding(certs.Error, key, text).Problem)
		}
	}
	dir := p.settings.Store.Directory
	info, missing := os.Stat(dir)
	if missing == nil && p.needsStore() {
		tell("store.directory", id.owns(dir, info))
	}
	if err := id.assume(); err != nil {
		return nil, err
	}
	if !errors.Is(missing, fs.ErrNotExist) && len(wrong) == 0 { // a missing one is made
		tell("store.directory", p.checkStore(id))
	}
	for _, file := range unreadable(p.readAgain()) {
		found = append(found, p.finding(certs.Warning, "user", file+" can be read by root, and not by "+id.name+": a reload would fail; hint: let the user's group read it"))
	}
	if file := p.settings.Telemetry.Queries.File; file != "" {
		tell("telemetry.queries.file", telemetry.CheckQueryLog(file))
	}
	if len(wrong) > 0 {
		return found, wrong
	}
	return found, nil
}
