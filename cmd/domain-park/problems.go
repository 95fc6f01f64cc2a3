package main

import (
	"errors"
	"strings"

	"domainpark/config"
	"domainpark/policy"
	"domainpark/resolver"
)

// resolverKeys are the settings that the fields of a resolver's Config come from.
var resolverKeys = map[string]string{
	"NameServers":    "nameservers",
	"Hostmaster":     "hostmaster",
	"Profile":        "parking.profile",
	"PublicSuffixes": "parking.publicsuffixes",
	"TTL":            "parking.ttl",
	"RUA":            "parking.dmarc.rua",
	"RUF":            "parking.dmarc.ruf",
	"IODEF":          "parking.iodef",
	"Apexes":         "parking.apexes",
	"Only":           "parking.only",
	"Refuse":         "parking.refuse",
	"Identity":       "identity",
	"ACMEHosts":      "tls.acme.hosts",
	"Zones":          "zones",
	"Include":        "zones",
	"Verify":         "zones",
}

// problems says the resolver's errors in an operator's terms: by the place in
// the settings, not by the field of a struct.
func problems(s *config.Settings, err error) []config.Problem {
	if err == nil {
		return nil
	}
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		var out []config.Problem
		for _, err := range all.Unwrap() {
			out = append(out, problems(s, err)...)
		}
		return out
	}
	var limit *policy.Error
	if errors.As(err, &limit) {
		return []config.Problem{s.Problem("policy."+limit.Field, limit.Reason)}
	}
	var e *resolver.Error
	switch {
	case !errors.As(err, &e):
		return []config.Problem{{Reason: err.Error()}}
	case e.File != "":
		return []config.Problem{{Position: config.Position{File: e.File, Line: e.Line, Column: e.Column}, Reason: e.Reason}}
	}
	field, _, _ := strings.Cut(e.Field, "[")
	if key, ok := resolverKeys[field]; ok {
		return []config.Problem{s.Problem(key, e.Reason)}
	}
	if section, name, ok := strings.Cut(field, "."); ok {
		return []config.Problem{s.Problem(resolverKeys[section]+"."+strings.ToLower(name), e.Reason)}
	}
	return []config.Problem{{Key: e.Field, Reason: e.Reason}}
}
