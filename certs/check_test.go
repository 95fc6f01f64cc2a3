package certs

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

func addresses(texts ...string) (addrs []netip.Addr) {
	for _, text := range texts {
		addrs = append(addrs, netip.MustParseAddr(text))
	}
	return addrs
}

// wantFindings wants findings that begin with the severity and setting of each
// of want and have its other words in text or hint, and no others but notes.
func wantFindings(t *testing.T, got []Finding, want ...string) {
	t.Helper()
	rest := []Finding{}
	for _, f := range got {
		found := false
		for i, w := range want {
			severity, w2, _ := strings.Cut(w, " ")
			setting, words, _ := strings.Cut(w2, ": ")
			if f.Severity.String() == severity && f.Setting == setting && strings.Contains(f.Text+" "+f.Hint, words) {
				want = append(want[:i:i], want[i+1:]...)
				found = true
				break
			}
		}
		if !found && f.Severity != Note {
			rest = append(rest, f)
		}
	}
	if len(want) > 0 || len(rest) > 0 {
		t.Errorf("not found: %q\nnot wanted: %+v\nall: %+v", want, rest, got)
	}
}

func TestCheckSaysWhichChallengesCanWork(t *testing.T) {
	st := openStore(t, t.TempDir())
	for name, test := range map[string]struct {
		doh, http []string
		want      []string
	}{
		"both": {[]string{"127.0.0.1:9443", "[2001:db8::1]:443"}, []string{":80"}, []string{
			"note listen.doh: tls-alpn-01 can work by [2001:db8::1]:443: port 443 of every host",
			"note listen.http: http-01 can work by :80: port 80 of every host"}},
		"other ports": {[]string{"0.0.0.0:8443"}, []string{"192.0.2.1:8080"}, []string{
			"warning listen.doh: only if port 443 from outside is forwarded to 0.0.0.0:8443",
			"warning listen.http: only if port 80 from outside is forwarded to 192.0.2.1:8080"}},
		"loopback": {[]string{"127.0.0.1:443", "[::1]:443"}, nil, []string{
			"warning listen.doh: 127.0.0.1:443, [::1]:443 is this machine's own loopback",
			"note listen.http: http-01 is not possible"}},
		"none": {nil, nil, []string{
			"note listen.doh: tls-alpn-01 is not possible", "note listen.http: http-01 is not possible",
			"error tls.acme.hosts: by any challenge"}},
		"port by name": {[]string{":https"}, []string{":http"}, []string{
			"note listen.doh: can work", "note listen.http: can work"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{ACME: ACME{Hosts: []string{testHost}, Email: "ops@park.example"}, DoH: test.doh, HTTP: test.http, Store: st}
			wantFindings(t, Check(cfg, time.Now()), test.want...)
		})
	}
}

func TestCheckAndNewNameMistakesInACME(t *testing.T) {
	empty := t.TempDir() + "/roots.pem"
	long := strings.Repeat("long.", 11) + "example.org" // 66 characters
	writeFile(t, empty, []byte("nothing"))
	cfg := Config{
		ACME: ACME{Hosts: []string{"*.park.example", "192.0.2.1", "localhost", "a b.example", long, testHost}, Email: "Ops <ops@park.example>",
			Directory: "http://ca.example/", Roots: empty},
		DoH: []string{":443"}, Log: (&journal{}).logger(),
	}
	wantFindings(t, Check(cfg, time.Now()),
		`error tls.acme.hosts: "*.park.example": a wildcard takes a dns-01 challenge`, `error tls.acme.hosts: "192.0.2.1": an address`,
		`error tls.acme.hosts: "`+long+`": longer than the 64 characters`, `error tls.acme.hosts: "localhost": no CA certifies`, `error tls.acme.hosts: "a b.example": not a host name`,
		"error store.directory: have to be kept", "error tls.acme.roots: no certificate in it", "error tls.acme.directory: is not an https URL",
		"error tls.acme.email: is not a mail address")
	_, err := New(cfg)
	wantError(t, err, `"*.park.example"`, `"192.0.2.1"`, `"localhost"`, `"a b.example"`, "store.directory", empty)
}

func TestCheckFilePairs(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	pair := func(name string, m template) Pair {
		p, _ := m.write(t, dir, name)
		return p
	}
	good := pair("good", template{names: []string{testHost}})
	loose := pair("loose", template{names: []string{testHost}})
	if err := os.Chmod(loose.Key, 0o644); err != nil {
		t.Fatal(err)
	}
	cfg := Config{Files: []Pair{
		good,
		pair("soon", template{names: []string{testHost}, after: now.Add(3 * day)}),
		pair("old", template{names: []string{testHost}, before: now.Add(-2 * day), after: now.Add(-day)}),
		pair("early", template{names: []string{testHost}, before: now.Add(day)}),
		pair("nameless", template{}),
		loose,
		{good.Certificate, loose.Key},
		{dir + "/no.pem", good.Key},
	}}
	wantFindings(t, Check(cfg, now),
		"note tls.certificates[0]: for "+testHost, "warning tls.certificates[0]: is self-signed",
		"warning tls.certificates[1]: expires in", "warning tls.certificates[1]: is self-signed",
		"error tls.certificates[2]: expired at", "warning tls.certificates[2]: is self-signed",
		"error tls.certificates[3]: is this machine's clock right?", "warning tls.certificates[3]: is self-signed",
		"warning tls.certificates[4]: has no DNS name", "warning tls.certificates[4]: is self-signed",
		"warning tls.certificates[5]: chmod o-rw "+loose.Key, "warning tls.certificates[5]: is self-signed",
		"error tls.certificates[6]: does not match",
		"error tls.certificates[7]: no.pem")
	wantFindings(t, Check(Config{}, now), "warning tls: self-signed")
}

// TestCheckCoversANameServer: one certificate that is for one of the name
// servers will do, others may be other machines'.
func TestCheckCoversANameServer(t *testing.T) {
	dir := t.TempDir()
	own, _ := template{names: []string{"ns1.park.example"}}.write(t, dir, "own")
	wild, _ := template{names: []string{"*.park.example"}}.write(t, dir, "wild")
	other, _ := template{names: []string{"www.example.com"}}.write(t, dir, "other")
	servers := []string{"ns1.park.example", "ns2.park.example"}
	for name, c := range map[string]struct {
		cfg  Config
		want string
	}{
		"the name":     {Config{Files: []Pair{other, own}, Names: servers}, ""},
		"a wildcard":   {Config{Files: []Pair{wild}, Names: servers}, ""},
		"no":           {Config{Files: []Pair{other}, Names: servers}, "ns1.park.example, ns2.park.example"},
		"nobody knows": {Config{Files: []Pair{other}}, ""},
	} {
		got := ""
		for _, f := range Check(c.cfg, time.Now()) {
			if f.Severity == Warning && strings.Contains(f.Text, "for any name server") {
				got = f.Text
			}
		}
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}
