//go:build unix

package main

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/miekg/dns"
)

// reloadable is a server whose files a test changes.
type reloadable struct {
	*running
	dir string
}

// reloadableSettings listen on free ports; %s is what a test adds.
const reloadableSettings = `
nameservers: [{name: ns1.park.example}]
listen: {udp: ["127.0.0.1:0"], tcp: ["127.0.0.1:0"], dot: [], doh: [], doq: [], admin: []}
%s
`

// startReloadable runs a server with settings added to reloadableSettings and an
// empty directory of zones beside them.
func startReloadable(t *testing.T, settings string) *reloadable {
	t.Helper()
	r := &reloadable{dir: t.TempDir()}
	if err := os.Mkdir(filepath.Join(r.dir, "zones"), 0o755); err != nil {
		t.Fatal(err)
	}
	r.write(t, "settings.yaml", fmt.Sprintf(reloadableSettings, settings))
	r.running = start(t, "--config", filepath.Join(r.dir, "settings.yaml"))
	return r
}

// write puts text into a file, as an editor does: beside it, then renamed.
func (r *reloadable) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// hangup reloads with other settings.
func (r *reloadable) hangup(t *testing.T, settings string) {
	t.Helper()
	r.write(t, "settings.yaml", fmt.Sprintf(reloadableSettings, settings))
	r.signal(syscall.SIGHUP)
}

func (r *reloadable) dmarc(t *testing.T) string {
	t.Helper()
	return ask(t, "udp", r.addr["udp"][0], "_dmarc.example.com.", dns.TypeTXT)
}

// since is what is in the log behind the first n bytes.
func (r *reloadable) since(n int) string { return r.log.String()[n:] }

func TestHangupReloadsSettings(t *testing.T) {
	srv := startReloadable(t, "parking: {dmarc: {rua: [old@park.example]}}")
	if got := srv.dmarc(t); !strings.Contains(got, "rua=mailto:old@park.example;") {
		t.Fatal(got)
	}
	srv.hangup(t, "parking: {dmarc: {rua: [new@park.example]}}")
	srv.await("msg=reloaded cause=signal")
	if got := srv.dmarc(t); !strings.Contains(got, "rua=mailto:new@park.example;") {
		t.Error(got)
	}
	stopsInOrder(t, srv.running)
}

// A reload with mistakes tells all of them, as the start does, and changes
// nothing.
func TestHangupWithMistakesChangesNothing(t *testing.T) {
	srv := startReloadable(t, "zones: zones\nparking: {dmarc: {rua: [old@park.example]}}")
	srv.write(t, "profile.zone", "@ MX 0 .\n@ A 192.0.2.300\n")
	srv.write(t, "zones/a.example.zone", zoneHead+"@ TXT\n")
	before := srv.log.Len()
	srv.hangup(t, "zones: zones\nparking: {dmarc: {rua: [new@park.example, nobody]}, profile: profile.zone}\nworkers: -1")
	srv.await("reload failed: what runs stays as it was")
	file := filepath.Join(srv.dir, "settings.yaml")
	start := execute(t, "--config", file)
	if start.status != 1 || strings.Count(start.stderr, "\n") < 4 {
		t.Fatalf("status %d at start\n%s", start.status, start.stderr)
	}
	for line := range strings.Lines(start.stderr) {
		if want := strings.ReplaceAll(strings.TrimSpace(line), `"`, `\"`); !strings.Contains(srv.since(before), want) {
			t.Errorf("the start says\n%s\nthe reload says\n%s", want, srv.since(before))
		}
	}
	if got := srv.dmarc(t); !strings.Contains(got, "rua=mailto:old@park.example;") {
		t.Error(got)
	}
	srv.hangup(t, "zones: zones\n")
	srv.await("reload failed") // the zone
	srv.write(t, "zones/a.example.zone", zoneHead)
	srv.hangup(t, "zones: zones\n")
	srv.await("msg=reloaded")
	stopsInOrder(t, srv.running)
}

func TestHangupNamesWhatNeedsARestart(t *testing.T) {
	srv := startReloadable(t, "")
	srv.hangup(t, "workers: 3\nstore: {directory: elsewhere}\nparking: {dmarc: {rua: [new@park.example]}}")
	srv.await(`msg="changed in the settings, but needs a restart" settings="store.directory, workers"`)
	srv.await("msg=reloaded")
	if got := srv.dmarc(t); !strings.Contains(got, "rua=mailto:new@park.example;") {
		t.Error(got)
	}
	before := srv.log.Len()
	srv.hangup(t, "")
	srv.await("msg=reloaded")
	if strings.Contains(srv.since(before), "restart") {
		t.Errorf("settings that are back where they were need no restart:\n%s", srv.since(before))
	}
	stopsInOrder(t, srv.running)
}

// TestHangupMovesListeners turns an encrypted transport on in a server that had
// none, and off again.
func TestHangupMovesListeners(t *testing.T) {
	srv := startReloadable(t, "")
	settings := strings.Replace(fmt.Sprintf(reloadableSettings, ""), "dot: []", `dot: ["127.0.0.1:0"]`, 1)
	srv.write(t, "settings.yaml", settings)
	srv.signal(syscall.SIGHUP)
	srv.await("msg=reloaded")
	m := listeningLine.FindAllStringSubmatch(srv.log.String(), -1)
	added := m[len(m)-1]
	if added[1] != "dot" {
		t.Fatalf("the last listener is %q", added)
	}
	client := &dns.Client{Net: "tcp-tls", TLSConfig: &tls.Config{InsecureSkipVerify: true}, Timeout: answerWithin}
	if answer, _, err := client.Exchange(new(dns.Msg).SetQuestion("example.com.", dns.TypeTXT), added[2]); err != nil || len(answer.Answer) != 1 {
		t.Errorf("got %v, %v", answer, err)
	}
	srv.dmarc(t)
	srv.hangup(t, "")
	srv.await(`msg="no longer listening" transport=dot address=` + added[2])
	srv.await("msg=reloaded")
	srv.dmarc(t)
	stopsInOrder(t, srv.running)
}

// What can't be bound is told, with the rest of what is wrong, and changes nothing.
func TestHangupWithAnAddressThatIsTakenChangesNothing(t *testing.T) {
	srv := startReloadable(t, "")
	settings := strings.Replace(fmt.Sprintf(reloadableSettings, "parking: {dmarc: {rua: [new@park.example]}}"),
		"dot: []", fmt.Sprintf("dot: [%q]", srv.addr["tcp"][0]), 1)
	srv.write(t, "settings.yaml", settings)
	srv.signal(syscall.SIGHUP)
	srv.await("listen dot " + srv.addr["tcp"][0] + ": address already in use by this program")
	srv.await("reload failed")
	if got := srv.dmarc(t); strings.Contains(got, "new@park.example") {
		t.Error(got)
	}
	stopsInOrder(t, srv.running)
}

// TestZonesAreWatched: whatever a tool does to put files in place, the zones
// are those of the files a moment later; a mistake keeps those before.
func TestZonesAreWatched(t *testing.T) {
	srv := startReloadable(t, "zones: zones")
	txt := func() string {
		t.Helper()
		return ask(t, "udp", srv.addr["udp"][0], "www.a.example.", dns.TypeTXT)
	}
	reloaded := func(how, want string) {
		t.Helper()
		srv.await("msg=reloaded cause=watch")
		if got := txt(); !strings.Contains(got, want) {
			t.Errorf("%s: got %s, want %s", how, got, want)
		}
	}
	zone := func(text string) string { return zoneHead + "www TXT " + text + "\n" }
	srv.write(t, "zones/a.example.zone", zone("renamed"))
	reloaded("a file renamed", "renamed")
	path := filepath.Join(srv.dir, "zones/a.example.zone")
	if err := os.WriteFile(path, []byte(zone("overwritten")), 0o600); err != nil {
		t.Fatal(err)
	}
	reloaded("a file written over", "overwritten")

	srv.write(t, "zones/a.example.zone", zone("one two")+"www A 1.2.3\n")
	srv.await(filepath.Join(srv.dir, "zones/a.example.zone:6"))
	srv.await("reload failed")
	if got := txt(); !strings.Contains(got, "overwritten") {
		t.Errorf("a mistake: got %s", got)
	}

	if err := os.Mkdir(filepath.Join(srv.dir, "zones/parts"), 0o755); err != nil {
		t.Fatal(err)
	}
	srv.write(t, "zones/parts/www.txt", "www TXT included\n")
	srv.write(t, "zones/a.example.zone", zoneHead+"$INCLUDE parts/www.txt\n")
	reloaded("a file included", "included")
	srv.write(t, "zones/parts/www.txt", "www TXT changed\n")
	reloaded("the included file changed", "changed")

	other := filepath.Join(srv.dir, "other")
	if err := os.Mkdir(other, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, other, "a.example.zone", zone("replaced"))
	if err := os.Rename(filepath.Join(srv.dir, "zones"), filepath.Join(srv.dir, "before")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(other, filepath.Join(srv.dir, "zones")); err != nil {
		t.Fatal(err)
	}
	reloaded("the directory replaced", "replaced")
	srv.write(t, "zones/a.example.zone", zone("again"))
	reloaded("a file in the new directory", "again")
	stopsInOrder(t, srv.running)
}

// TestZonesThatVanish: a zone that is gone is told. When all are, the directory is
// taken for one that is not mounted, until the settings say otherwise.
func TestZonesThatVanish(t *testing.T) {
	srv := startReloadable(t, "zones: zones")
	for _, name := range []string{"a", "b"} {
		srv.write(t, "zones/"+name+".example.zone", zoneHead+"www TXT "+name+"\n")
	}
	srv.signal(syscall.SIGHUP)
	srv.await("zones=2")
	remove := func(name string) {
		t.Helper()
		if err := os.Remove(filepath.Join(srv.dir, "zones", name+".example.zone")); err != nil {
			t.Fatal(err)
		}
	}
	remove("a")
	srv.await("zones are gone")
	if log := srv.log.String(); !strings.Contains(log, "zones=a.example count=1") {
		t.Errorf("the log does not name the zone:\n%s", log)
	}
	srv.await("msg=reloaded cause=watch zones=1")
	remove("b")
	for _, cause := range []string{"watch", "signal"} {
		if cause == "signal" {
			srv.signal(syscall.SIGHUP)
		}
		srv.await("has no zone file any more, and had 1; is it mounted?")
		srv.await("reload failed: what runs stays as it was\" cause=" + cause)
		if got := ask(t, "udp", srv.addr["udp"][0], "www.b.example.", dns.TypeTXT); !strings.Contains(got, "b") {
			t.Errorf("after a reload by %s the zone is gone: %s", cause, got)
		}
	}
	srv.hangup(t, "zones: \"\"")
	srv.await("msg=reloaded cause=signal zones=0")
	stopsInOrder(t, srv.running)
}

// TestHangupOpensTheQueryLogAnew is how logs are rotated: moved, then a signal.
// Where it is written, and how much of it, may change as well.
func TestHangupOpensTheQueryLogAnew(t *testing.T) {
	const toFile = "telemetry: {queries: {file: %s}}"
	srv := startReloadable(t, fmt.Sprintf(toFile, "queries.log"))
	file := filepath.Join(srv.dir, "queries.log")
	question := func(name string) {
		t.Helper()
		ask(t, "udp", srv.addr["udp"][0], name, dns.TypeTXT)
	}
	question("one.example.")
	if err := os.Rename(file, file+".1"); err != nil {
		t.Fatal(err)
	}
	srv.signal(syscall.SIGHUP)
	srv.await("msg=reloaded")
	question("two.example.")
	srv.hangup(t, fmt.Sprintf(toFile, "other.log"))
	srv.await("msg=reloaded")
	question("three.example.")
	srv.hangup(t, "")
	srv.await("msg=reloaded")
	question("four.example.")
	stopsInOrder(t, srv.running)
	var all string
	for _, f := range []string{file + ".1", file, filepath.Join(srv.dir, "other.log")} {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all += string(text)
	}
	for _, name := range []string{"one", "two", "three"} {
		if strings.Count(all, `"`+name+".example.") != 1 {
			t.Errorf("%s is not in the logs once:\n%s", name, all)
		}
	}
	if strings.Contains(all, "four.example.") {
		t.Errorf("the log is off, and was written:\n%s", all)
	}
}

// A server without encrypted transports has no certificates, and maybe no store:
// what a reload asks for then must be told, not taken for granted.
func TestHangupToCertificatesThatCantBeHad(t *testing.T) {
	srv := startReloadable(t, "")
	encrypted := strings.Replace(fmt.Sprintf(reloadableSettings, "%s"), "dot: []", `dot: ["127.0.0.1:0"]`, 1)
	srv.write(t, "empty.pem", "")
	for _, c := range []struct{ tls, want string }{
		{"tls: {certificates: [{certificate: empty.pem, key: empty.pem}]}", "tls.certificates[0]: "},
		{"tls: {acme: {hosts: [ns1.park.example]}}", "certificates have to be kept, and this server was started without a store; restart it"},
	} {
		srv.write(t, "settings.yaml", fmt.Sprintf(encrypted, c.tls))
		srv.signal(syscall.SIGHUP)
		srv.await(c.want)
		srv.await("reload failed")
	}
	srv.dmarc(t)
	stopsInOrder(t, srv.running)
}
