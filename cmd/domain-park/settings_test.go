package main

import (
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"strings"
	"testing"

	"domainpark/config"
	"domainpark/resolver"
)

// TestResolverErrorsTellThePlaceInTheSettings says each kind of the resolver's
// errors in the operator's terms.
func TestResolverErrorsTellThePlaceInTheSettings(t *testing.T) {
	file := write(t, t.TempDir(), "s.yaml", "nameservers: [{name: ns1.park.example}]\nidentity: {version: x}\nparking:\n  dmarc:\n    rua: [r@park.example]\n")
	s, err := config.Load(file, config.Flags{RUF: []string{"f@park.example"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{&resolver.Error{Field: "RUA[0]", Reason: "no"}, file + `:5:10: key "parking.dmarc.rua": no`},
		{&resolver.Error{Field: "RUF[3]", Reason: "no"}, `--ruf: no`},
		{&resolver.Error{Field: "TTL", Reason: "no"}, `key "parking.ttl": no`},
		{&resolver.Error{Field: "Identity.Version", Reason: "no"}, file + `:2:21: key "identity.version": no`},
		{&resolver.Error{Field: "Unheard", Reason: "no"}, `key "Unheard": no`},
		{&resolver.Error{File: "a.zone", Line: 3, Reason: "no"}, `a.zone:3: no`},
		{errors.New("no"), "no"},
		{errors.Join(&resolver.Error{File: "a.zone", Line: 3, Column: 4, Reason: "no"}, fmt.Errorf("more: %w", &resolver.Error{Field: "TTL", Reason: "no"})), "a.zone:3:4: no\n" + `key "parking.ttl": no`},
	} {
		var got []string
		for _, p := range problems(s, c.err) {
			got = append(got, p.Error())
		}
		if strings.Join(got, "\n") != c.want {
			t.Errorf("%v: got %q, want %q", c.err, got, c.want)
		}
	}
}

// TestEveryFieldOfTheResolverHasAKey holds the table against the struct.
func TestEveryFieldOfTheResolverHasAKey(t *testing.T) {
	fields := reflect.TypeFor[resolver.Config]()
	for i := range fields.NumField() {
		name := fields.Field(i).Name
		if name == "Readers" { // what a reload may take of the machine
			continue
		}
		if resolverKeys[name] == "" {
			t.Errorf("resolver.Config.%s has no key in resolverKeys", name)
		}
	}
	for _, key := range resolverKeys {
		config.Help(key) // panics when there is no such key
	}
}

func TestOnlyDefaultsAreLeftOutWithoutIPv6(t *testing.T) {
	dir := t.TempDir()
	both, v4 := "127.0.0.1:5300 [::1]:5300", "127.0.0.1:5300"
	for _, c := range []struct {
		file     string
		flags    config.Flags
		udp, tcp string
	}{
		{"", config.Flags{}, "127.0.0.1:9953", "127.0.0.1:9953"},
		{"", config.Flags{Port: "5300"}, v4, v4},
		{"", config.Flags{Host: "localhost", Port: "5300"}, v4, v4},
		{"", config.Flags{Host: "::1", Port: "5300"}, "[::1]:5300", "[::1]:5300"},
		{"", config.Flags{UDP: true}, "127.0.0.1:9953", ""},
		{`listen: {udp: ["127.0.0.1:5300", "[::1]:5300"]}`, config.Flags{}, both, "127.0.0.1:9953"},
	} {
		s := source{Flags: c.flags}
		if c.file != "" {
			s.Config = write(t, dir, "s.yaml", c.file)
		}
		s.NameServers = []string{"ns1.park.example"}
		settings, err := config.Load(s.Config, s.Flags)
		if err != nil {
			t.Fatal(err)
		}
		before := size(settings.Listen)
		l := s.withoutIPv6Loopback(settings)
		if udp, tcp := strings.Join(l.UDP, " "), strings.Join(l.TCP, " "); udp != c.udp || tcp != c.tcp {
			t.Errorf("%q %+v: got udp %s, tcp %s", c.file, c.flags, udp, tcp)
		}
		if size(settings.Listen) != before {
			t.Errorf("%q %+v: the settings were changed", c.file, c.flags)
		}
	}
}

func TestVersionTellsWhatItWasBuiltFrom(t *testing.T) {
	info := &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "0123456789abcdef0123456789abcdef01234567"}, {Key: "vcs.modified", Value: "true"},
	}}
	for want, info := range map[string]*debug.BuildInfo{
		"v1.2.3 0123456789ab with changes " + platform(): info,
		"(devel) " + platform():                          {},
	} {
		if got := describe(info); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
