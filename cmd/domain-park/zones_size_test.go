package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"domainpark/resolver"
)

// TestZoneFileOfSomethingElseIsNotReadToItsEnd: somebody who puts a disk image
// into the directory of the zones learns it from an error, not from the kernel
// that ends the server for its memory.
func TestZoneFileOfSomethingElseIsNotReadToItsEnd(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "example.com.zone")
	if err := os.WriteFile(file, []byte("; a first line\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 900<<20); err != nil { // it takes no blocks
		t.Fatal(err)
	}
	zones, err := openZones(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer zones.close()
	read, err := zones.read(1)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(read[0].Source.Text); n > 4*resolver.MaxLineBytes {
		t.Errorf("%d bytes were read", n)
	}
	settings := filepath.Join(t.TempDir(), "settings.yaml")
	if err := os.WriteFile(settings, []byte("nameservers: [{name: ns1.park.example}]\nzones: "+dir+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := program(t, "check", "--elsewhere", "--config", settings).CombinedOutput()
	if err == nil || !strings.Contains(string(out), file+":2: a line longer than 1 MiB") {
		t.Errorf("%v:\n%.500s", err, out)
	}
}
