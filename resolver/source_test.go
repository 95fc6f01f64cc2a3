package resolver

import (
	"strings"
	"testing"
)

const (
	smallProfile  = "@ SOA {mname} {rname} 1 2 3 4 5\n@ NS {ns}\n"
	smallSuffixes = "com\n"
	smallZone     = "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\nt TXT \"-----BEGIN \"\n"
	privateKey    = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA\n-----END PRIVATE KEY-----\n"
)

// withSources is a Config that reads both of its texts.
func withSources(profile, suffixes string) Config {
	cfg := testConfig()
	cfg.Profile = Source{Name: "p.zone", Text: []byte(profile)}
	cfg.PublicSuffixes = Source{Name: "psl.dat", Text: []byte(suffixes)}
	return cfg
}

// withZone is a Config with the zone one.example.
func withZone(text string) Config {
	cfg := testConfig()
	cfg.Zones = []Zone{{Name: "one.example", Source: Source{Name: "one.example.zone", Text: []byte(text)}}}
	return cfg
}

func TestByteOrderMarkIsSkipped(t *testing.T) {
	if _, err := New(withSources("\ufeff"+smallProfile, "\ufeff"+smallSuffixes), nil, nil); err != nil {
		t.Error(err)
	}
	if _, err := New(withZone("\ufeff"+smallZone), nil, nil); err != nil {
		t.Error(err)
	}
}

func TestPrivateKeysAreNotQuoted(t *testing.T) {
	for file, cfg := range map[string]Config{
		"p.zone":  withSources(privateKey, smallSuffixes),
		"psl.dat": withSources(smallProfile, "com\n"+privateKey),

		"one.example.zone": withZone(smallZone + privateKey),
	} {
		_, err := New(cfg, nil, nil)
		if err == nil {
			t.Errorf("%s: no error", file)
			continue
		}
		if text := err.Error(); !strings.HasPrefix(text, file+":1: a PEM file") || strings.Contains(text, "MC4C") || strings.Contains(text, "\n") {
			t.Errorf("%s: %s", file, text)
		}
	}
}
