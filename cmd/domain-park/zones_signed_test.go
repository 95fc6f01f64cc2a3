package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// signedHow are the ways to sign a zone, as dnssec-signzone is told.
var signedHow = map[string][]string{
	"NSEC":          nil,
	"NSEC3":         {"-3", "-", "-H", "0"},
	"NSEC3 salted":  {"-3", "abcd", "-H", "7"},
	"NSEC3 Opt-Out": {"-3", "-", "-H", "0", "-A"},
}

// signZone signs a zone with a fresh key, and writes it to NAME.zone in dir. It
// returns the DNSKEY record.
func signZone(t *testing.T, dir, name, text string, options ...string) (key string) {
	t.Helper()
	work := t.TempDir()
	keygen := exec.Command(tool(t, "dnssec-keygen"), "-q", "-K", work, "-a", "ECDSAP256SHA256", "-f", "KSK", name)
	out, err := keygen.Output()
	if err != nil {
		t.Fatalf("%s: %v", keygen, err)
	}
	args := append([]string{"-S", "-z", "-P", "-K", work, "-d", work, "-o", name, "-f", filepath.Join(dir, name+".zone")}, options...)
	sign := exec.Command(tool(t, "dnssec-signzone"), append(args, write(t, work, "unsigned", text))...)
	if out, err := sign.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", sign, err, out)
	}
	public, err := os.ReadFile(filepath.Join(work, strings.TrimSpace(string(out))+".key"))
	if err != nil {
		t.Fatal(err)
	}
	return string(public[strings.LastIndexByte(strings.TrimSpace(string(public)), '\n')+1:])
}
