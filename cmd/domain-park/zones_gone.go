package main

import (
	"fmt"
	"log/slog"
	"strings"

	"domainpark/config"
	"domainpark/resolver"
)

// maxGoneShown is how many zones that are gone the log names.
const maxGoneShown = 10

// compareZones looks at the zones that a reload is about to bring into force. A
// zone that is gone is told: its names will be answered as parked. When all of
// them are gone and the settings name the same directory, it is an error: that
// is what a file system looks like that is not mounted, and what the name
// servers' own domain, and all that it takes with it, must not depend on. Who
// means it says so in the settings.
func (srv *server) compareZones(next *config.Settings, answers *resolver.Resolver, log *slog.Logger) error {
	before, after := srv.answers.Zones(), answers.Zones()
	if len(after) == 0 && len(before) > 0 && next.Zones == srv.settings.Zones {
		p := next.Problem("zones", fmt.Sprintf("%s has no zone file any more, and had %d; is it mounted?", next.Zones, len(before)))
		p.Hint = `to answer none of them, set zones: ""`
		return config.Problems{p}
	}
	if gone := zonesGone(before, after); len(gone) > 0 {
		log.Warn("zones are gone: their names are answered as those of any parked domain from now on",
			"zones", strings.Join(gone[:min(len(gone), maxGoneShown)], ", "), "count", len(gone))
	}
	return nil
}

// zonesGone are the names of zones in before that are not in after.
func zonesGone(before, after []resolver.ZoneInfo) (gone []string) {
	there := make(map[string]bool, len(after))
	for _, z := range after {
		there[z.Name] = true
	}
	for _, z := range before {
		if !there[z.Name] {
			gone = append(gone, z.Name)
		}
	}
	return gone
}
