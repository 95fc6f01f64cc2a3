package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"domainpark/resolver"
)

// TestSignatureTimesAreToldOf: what is expired, soon will be, or is not valid yet.
func TestSignatureTimesAreToldOf(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) uint32 { return uint32(now.Add(d).Unix()) }
	const day = 24 * time.Hour
	for _, c := range []struct {
		name   string
		signed *resolver.Signed
		want   string
	}{
		{"unsigned", nil, ""},
		{"good", &resolver.Signed{Begins: at(-day), Expires: at(30 * day)}, ""},
		{"good beyond 2038", &resolver.Signed{Begins: at(-day), Expires: at(30 * 365 * day), Hashed: true}, ""},
		{"expired", &resolver.Signed{Begins: at(-day), Expires: at(0), ExpiresAt: "z:7"}, "signatures of a.example have expired, the first on 2026-05-01 12:00 UTC (z:7)"},
		{"soon", &resolver.Signed{Begins: at(-day), Expires: at(2 * day), ExpiresAt: "z:7"}, "signatures of a.example expire soon, the first on 2026-05-03 12:00 UTC (z:7)"},
		{"not yet", &resolver.Signed{Begins: at(day), BeginsAt: "z:8", Expires: at(30 * day)}, "signatures of a.example are not valid yet, the last from 2026-05-02 12:00 UTC on (z:8)"},
		{"an iteration", &resolver.Signed{Begins: at(-day), Expires: at(30 * day), Iterations: 1}, "NSEC3 of a.example is iterated, by 1: "},
		{"many iterations", &resolver.Signed{Begins: at(-day), Expires: at(30 * day), Iterations: 50}, "NSEC3 of a.example is iterated, by 50: "},
		{"iterations", &resolver.Signed{Begins: at(-day), Expires: at(30 * day), Iterations: 51}, "NSEC3 of a.example has 51 iterations, and resolvers take"},
	} {
		got := signatureProblem(resolver.ZoneInfo{Name: "a.example", Signed: c.signed}, now)
		if !strings.HasPrefix(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestCheckLooksAtSignatures: it verifies them, says so, and warns of what a
// resolver that validates would see; the log and the metric tell the time.
func TestCheckLooksAtSignatures(t *testing.T) {
	text, err := os.ReadFile("../../testdata/zones/signed-nsec.zone")
	if err != nil {
		t.Fatal(err)
	}
	old := strings.ReplaceAll(string(text), "20560101000000 20260101000000", "20200101000000 20190101000000")
	dir, file := zoneDir(t, "listen: {udp: [\"127.0.0.1:0\"], tcp: [\"127.0.0.1:0\"], dot: [], doh: [], doq: [], admin: []}\nparking: {dmarc: {rua: [r@example.com]}}\n", map[string]string{"example.com.zone": string(text)})
	p, found, err := (&checkCommand{source: source{Config: file}}).examine()
	if err != nil {
		t.Fatal(err)
	}
	if text := p.zonesText(); !strings.HasSuffix(text, "; 1 signed, 26 signatures verified") {
		t.Errorf("%q", text)
	}
	expectFinding(t, found, `reports to example.com are not authorised`)

	srv, err := (&source{Config: file}).load()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := firstExpiry(srv.resolver.Zones(), time.Now()), time.Date(2056, 1, 1, 0, 0, 0, 0, time.UTC); !got.Equal(want) {
		t.Errorf("expires %s, want %s", got, want)
	}

	write(t, filepath.Join(dir, "zones"), "example.com.zone", old)
	if _, _, err = (&checkCommand{source: source{Config: file}}).examine(); err == nil || !strings.Contains(err.Error(), "is not good") {
		t.Errorf("signatures that were changed: %v", err)
	}
	srv, err = (&source{Config: file}).load() // which does not verify
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	srv.warnOfSignatures(time.Now(), slog.New(slog.NewTextHandler(&log, nil)))
	if !strings.Contains(log.String(), "signatures of example.com have expired, the first on 2020-01-01 00:00 UTC") {
		t.Errorf("log: %s", &log)
	}
	expectFinding(t, srv.signatureFindings(time.Now()), "signatures of example.com have expired, the first on 2020-01-01 00:00 UTC")
}

func expectFinding(t *testing.T, found []finding, text string) {
	t.Helper()
	for _, f := range found {
		if strings.Contains(f.text(), text) {
			return
		}
	}
	t.Errorf("no finding %q in %v", text, found)
}
