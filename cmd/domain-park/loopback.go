package main

import (
	"net"
	"slices"
	"strings"

	"domainpark/config"
)

// haveIPv6Loopback tells whether ::1 can be bound: kernels are booted without
// IPv6, containers are started without it.
func haveIPv6Loopback() bool {
	c, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// withoutIPv6Loopback is where to listen on a machine without ::1. Only
// defaults are left out: what the operator wrote must work, or be an error.
func (s *source) withoutIPv6Loopback(settings *config.Settings) config.Listen {
	l := settings.Listen
	byHost := (s.Host == "" || s.Host == "localhost") && (s.Host != "" || s.Port != "")
	for _, t := range []struct {
		key  string
		list *[]string
	}{{"listen.udp", &l.UDP}, {"listen.tcp", &l.TCP}, {"listen.dot", &l.DoT}, {"listen.doh", &l.DoH}, {"listen.doq", &l.DoQ}} {
		if !settings.Given(t.key) || byHost && (t.key == "listen.udp" || t.key == "listen.tcp") {
			*t.list = slices.DeleteFunc(slices.Clone(*t.list), func(a string) bool { return strings.HasPrefix(a, "[::1]:") })
		}
	}
	return l
}
