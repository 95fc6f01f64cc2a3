package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const zoneHead = "$TTL 3600\n@ SOA ns hostmaster 1 7200 900 1209600 300\n@ NS ns\nns A 192.0.2.1\n"

// zoneDir is a directory with settings that name its zones.
func zoneDir(t *testing.T, settings string, zones map[string]string) (dir, file string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "zones"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range zones {
		write(t, filepath.Join(dir, "zones"), name, text)
	}
	return dir, write(t, dir, "settings.yaml", "nameservers: [{name: ns1.park.example}]\nzones: zones\n"+settings)
}

// TestZoneDirectoryTellsAllMistakes: of all zones, of settings beside them, and
// of files that are links out of the directory.
func TestZoneDirectoryTellsAllMistakes(t *testing.T) {
	dir, file := zoneDir(t, "workers: -1\n", map[string]string{
		"a.example.zone":  zoneHead + "www A 192.0.2.300\n",
		"b.example.zone":  zoneHead + "$INCLUDE outside.inc\n$INCLUDE ../settings.yaml\n$INCLUDE /etc/passwd\n$INCLUDE nothing\n",
		"c.example.zone":  zoneHead,
		".#c.zone":        "an editor's",
		"c.example.zone~": "an editor's",
	})
	if err := os.Symlink(file, filepath.Join(dir, "zones/outside.inc")); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	r := execute(t, "check", "--elsewhere", "--config", "settings.yaml")
	want := `settings.yaml:3:10: key "workers": found "-1", expected a whole number from 0 to 1024
zones/a.example.zone:5:7: bad A A: found "192.0.2.300"; a record is written: owner [TTL] TYPE data
zones/b.example.zone:5:1: $INCLUDE outside.inc: zones/outside.inc leads out of the directory of the zones, by a link or ".."; put the file itself there
zones/b.example.zone:6:1: $INCLUDE ../settings.yaml: settings.yaml leads out of the directory of the zones, by a link or ".."; put the file itself there
zones/b.example.zone:7:1: $INCLUDE /etc/passwd: expected a path relative to zones, the directory of the zones
zones/b.example.zone:8:1: $INCLUDE nothing: zones/nothing: no such file or directory
`
	if r.status != 1 || !strings.HasSuffix(r.stderr, want) {
		t.Errorf("status %d, got\n%s\nwant\n%s", r.status, r.stderr, want)
	}
}

func TestZoneFilesThatCannotBeRead(t *testing.T) {
	dir, _ := zoneDir(t, "", map[string]string{"a.example.zone": zoneHead})
	for _, name := range []string{"b.example.zone", "c.example.zone"} {
		if err := os.Symlink("nothing", filepath.Join(dir, "zones", name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	r := execute(t, "check", "--elsewhere", "--config", "settings.yaml")
	for _, want := range []string{
		`settings.yaml:2:8: key "zones": zones/b.example.zone: no such file or directory`,
		`settings.yaml:2:8: key "zones": zones/c.example.zone: no such file or directory`,
	} {
		if r.status != 1 || !strings.Contains(r.stderr, want) {
			t.Errorf("status %d, got\n%s\nwant\n%s", r.status, r.stderr, want)
		}
	}
}

// TestCheckShowsZonesAndTheirCAA: which zones there are, and where one keeps
// the server from its own certificate.
func TestCheckShowsZonesAndTheirCAA(t *testing.T) {
	dir, _ := zoneDir(t, "tls: {acme: {hosts: [ns1.a.example, ns1.b.example, ns1.c.example, ns1.d.example]}}\n", map[string]string{
		"a.example.zone": zoneHead + "@ CAA 0 issue \"ca.example\"\n@ CAA 0 issue \"other.example; policy=x\"\n",
		"b.example.zone": zoneHead + "@ CAA 0 issue \";\"\nns1 CAA 0 issue \"letsencrypt.org; validationmethods=tls-alpn-01\"\n",
		"c.example.zone": zoneHead + "ns1 CNAME www\nwww CAA 0 issue \";\"\n",
		"d.example.zone": zoneHead + "@ CAA 0 iodef \"mailto:x@d.example\"\n",
	})
	t.Chdir(dir)
	srv, err := (&source{Config: "settings.yaml"}).load()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := srv.describe(&out, srv.caaFindings()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\nzones         4 with 19 records, from zones: a.example, b.example, c.example and 1 more\n",
		`tls.acme.hosts: CAA of a.example allows ca.example and other.example alone, which forbids the certificate for ns1.a.example; hint: add a.example. CAA 0 issue "letsencrypt.org" to its zone`,
		`tls.acme.hosts: CAA of ns1.c.example allows nobody, which forbids the certificate for ns1.c.example; hint: add ns1.c.example. CAA 0 issue "letsencrypt.org" to its zone`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if n := strings.Count(out.String(), "which forbids"); n != 2 {
		t.Errorf("%d warnings:\n%s", n, out.String())
	}
}
