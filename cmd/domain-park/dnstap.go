package main

import (
	"cmp"
	"os"
	"strings"

	"domainpark/telemetry"
)

// newTap makes the tap for the dnstap collector; nil when there is none.
func (p *plan) newTap() *telemetry.Tap {
	network, address, ok := strings.Cut(p.settings.Telemetry.DNSTap, ":")
	if !ok {
		return nil
	}
	host, _ := os.Hostname()
	return telemetry.NewTap(telemetry.TapConfig{
		Network: network, Address: address,
		Identity: cmp.Or(p.settings.Identity.ID, host), Version: "domain-park " + version(),
	})
}
