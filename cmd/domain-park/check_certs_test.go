package main

import (
	"strings"
	"testing"
)

// Files are checked whether or not anything uses them yet; a mistake is told
// where it was written.
func TestCheckTellsOfCertificateFiles(t *testing.T) {
	ca := newAuthority(t)
	one, other := ca.issue(t.TempDir(), 2, testHost), ca.issue(t.TempDir(), 3, testHost)
	mixed := keyPair{certificate: one.certificate, key: other.key}
	for name, c := range map[string]struct {
		listen string
		status int
		wants  []string
	}{
		"used":     {encryptedListen, 1, []string{"settings.yaml:6:", `key "tls.certificates[0]"`, "does not match"}},
		"not used": {`listen: {udp: ["127.0.0.1:0"], tcp: [], dot: [], doh: [], doq: [], http: [], admin: []}`, 0, []string{"tls.certificates[0]: ", "does not match", "tls.certificates: not in use"}},
	} {
		got := execute(t, "check", "--config", encryptedSettings(t, c.listen, mixed))
		if got.status != c.status {
			t.Errorf("%s: status %d", name, got.status)
		}
		for _, want := range c.wants {
			if !strings.Contains(got.stdout+got.stderr, want) {
				t.Errorf("%s: no %q in\n%s%s", name, want, got.stdout, got.stderr)
			}
		}
	}
}
