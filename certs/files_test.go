package certs

import (
	"crypto/elliptic"
	"crypto/tls"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// soon is how long a change on disk may take to be served.
const soon = 2 * time.Second

func TestReplacedFilesAreServedWithinTwoSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, log := t.TempDir(), &journal{}
		files, first := template{names: []string{"ns1.park.example"}}.write(t, dir, "a")
		s := newSource(t, Config{Files: []Pair{files}, Log: log.logger()})
		defer start(t, s)()
		wantServed(t, s, "ns1.park.example", first)

		_, second := template{names: []string{"ns1.park.example", "ns2.park.example"}}.write(t, dir, "a")
		time.Sleep(soon)
		wantServed(t, s, "ns1.park.example", second)
		wantServed(t, s, "ns2.park.example", second)
		log.want(t, "certificate loaded", 2)
	})
}

// TestSymlinkSwapIsSeen replaces files as certbot does, by a link to the file,
// and as Kubernetes does, by a link to the directory above.
func TestSymlinkSwapIsSeen(t *testing.T) {
	for name, link := range map[string]string{"the file": "live.pem", "the directory": "..data"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				m := template{names: []string{"ns1.park.example"}}
				serials := map[string]string{}
				for _, version := range []string{"v1", "v2"} {
					must(t, os.Mkdir(filepath.Join(dir, version), 0o700))
					_, serials[version] = m.write(t, filepath.Join(dir, version), "live")
				}
				links := []string{"live.pem", "live.key"}
				files := Pair{filepath.Join(dir, "live.pem"), filepath.Join(dir, "live.key")}
				if link == "..data" {
					links = []string{"..data"}
					files = Pair{filepath.Join(dir, "..data", "live.pem"), filepath.Join(dir, "..data", "live.key")}
				}
				point := func(version string) {
					for _, l := range links {
						target := filepath.Join(version, l)
						if l == "..data" {
							target = version
						}
						must(t, os.Symlink(target, filepath.Join(dir, "new")))
						must(t, os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, l)))
					}
				}
				point("v1")
				s := newSource(t, Config{Files: []Pair{files}, Log: (&journal{}).logger()})
				defer start(t, s)()
				wantServed(t, s, "", serials["v1"])
				point("v2")
				time.Sleep(soon)
				wantServed(t, s, "", serials["v2"])
			})
		})
	}
}

func TestBrokenFilesKeepTheCertificateInHandAndSaySoOnce(t *testing.T) {
	const complaint = "changed but can't be used"
	for name, spoil := range map[string]func(t *testing.T, files Pair){
		"empty":    func(t *testing.T, files Pair) { writeFile(t, files.Certificate, nil) },
		"garbage":  func(t *testing.T, files Pair) { writeFile(t, files.Key, []byte("no PEM")) },
		"missing":  func(t *testing.T, files Pair) { must(t, os.Remove(files.Key)) },
		"mismatch": func(t *testing.T, files Pair) { _, _, key := template{}.make(t); writeFile(t, files.Key, key) },
		"a directory": func(t *testing.T, files Pair) {
			must(t, os.Remove(files.Certificate))
			must(t, os.Mkdir(files.Certificate, 0o700))
		},
		"expired": func(t *testing.T, files Pair) {
			template{before: time.Now().Add(-2 * time.Hour), after: time.Now().Add(-time.Hour)}.write(t, filepath.Dir(files.Key), "a")
		},
		"not yet valid": func(t *testing.T, files Pair) {
			template{before: time.Now().Add(24 * time.Hour)}.write(t, filepath.Dir(files.Key), "a")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir, log := t.TempDir(), &journal{}
				m := template{names: []string{"ns1.park.example"}}
				files, first := m.write(t, dir, "a")
				s := newSource(t, Config{Files: []Pair{files}, Log: log.logger()})
				defer start(t, s)()

				spoil(t, files)
				time.Sleep(5 * time.Minute)
				wantServed(t, s, "ns1.park.example", first)
				log.want(t, complaint, 1)
				if st := s.Status(); len(st) != 1 || st[0].Err == nil {
					t.Errorf("status: got %+v, want one with an error", st)
				}
				must(t, s.Reload(Config{Files: []Pair{files}}))
				wantServed(t, s, "ns1.park.example", first)

				os.Remove(files.Certificate)
				_, second := m.write(t, dir, "a")
				time.Sleep(soon)
				wantServed(t, s, "ns1.park.example", second)
				log.want(t, complaint, 1)
				if st := s.Status(); st[0].Err != nil {
					t.Errorf("status after the repair: got error %v", st[0].Err)
				}
			})
		})
	}
}

func TestCertificateThatBecomesValidIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		files, first := template{}.write(t, dir, "a")
		s := newSource(t, Config{Files: []Pair{files}, Log: (&journal{}).logger()})
		defer start(t, s)()
		_, second := template{before: time.Now().Add(5 * time.Minute)}.write(t, dir, "a")
		time.Sleep(4 * time.Minute)
		wantServed(t, s, "", first)
		time.Sleep(time.Minute + soon)
		wantServed(t, s, "", second)
	})
}

func TestFilesReplacedOneAfterTheOtherAreNoComplaint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, log := t.TempDir(), &journal{}
		files, first := template{}.write(t, dir, "a")
		s := newSource(t, Config{Files: []Pair{files}, Log: log.logger()})
		defer start(t, s)()
		cert, certPEM, keyPEM := template{}.make(t)
		writeFile(t, files.Certificate, certPEM)
		time.Sleep(watchInterval)
		wantServed(t, s, "", first)
		writeFile(t, files.Key, keyPEM)
		time.Sleep(soon)
		wantServed(t, s, "", cert.Leaf.SerialNumber.String())
		log.want(t, "level=ERROR", 0)
	})
}

func TestBrokenFilesAtStartAreAllNamed(t *testing.T) {
	dir := t.TempDir()
	good, _ := template{}.write(t, dir, "good")
	other, _ := template{}.write(t, dir, "other")
	missing := Pair{filepath.Join(dir, "no.pem"), filepath.Join(dir, "no.key")}
	_, err := New(Config{Files: []Pair{good, missing, {good.Certificate, other.Key}}, Log: (&journal{}).logger()})
	wantError(t, err, "tls.certificates[1]", missing.Certificate, missing.Key,
		"tls.certificates[2]", good.Certificate, other.Key, "does not match", "hint: ")
}

func TestReloadWithAMistakeChangesNothing(t *testing.T) {
	dir := t.TempDir()
	files, first := template{names: []string{"a.example"}}.write(t, dir, "a")
	s := newSource(t, Config{Files: []Pair{files}, Log: (&journal{}).logger()})
	added, second := template{names: []string{"b.example"}}.write(t, dir, "b")
	if err := s.Reload(Config{Files: []Pair{added, {"nowhere.pem", "nowhere.key"}}}); err == nil {
		t.Error("Reload with a missing file: no error")
	}
	wantServed(t, s, "b.example", first)
	must(t, s.Reload(Config{Files: []Pair{added}}))
	wantServed(t, s, "b.example", second)
	wantServed(t, s, "a.example", second)
}

func TestExpiryIsInTheLogAndInTheStatus(t *testing.T) {
	dir, log := t.TempDir(), &journal{}
	now := time.Now()
	files, serial := template{names: []string{"ns1.park.example"}, after: now.Add(20 * 24 * time.Hour)}.write(t, dir, "a")
	s := newSource(t, Config{Files: []Pair{files}, Log: log.logger()})
	s.remind(now.Add(5 * 24 * time.Hour))
	log.want(t, "expires soon", 0)
	s.remind(now.Add(7 * 24 * time.Hour))
	log.want(t, "expires soon", 1)
	s.remind(now.Add(21 * 24 * time.Hour))
	log.want(t, "clients can't verify it", 1)
	wantServed(t, s, "ns1.park.example", serial)
	st := s.Status()[0]
	if st.Name != "ns1.park.example" || st.Source != FromFile || st.File != files.Certificate || !st.Default || st.Expires.Sub(now) > 20*24*time.Hour {
		t.Errorf("status: got %+v", st)
	}
}

var onlyRSA = tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}}

func TestNameSelectsTheCertificate(t *testing.T) {
	dir := t.TempDir()
	one, first := template{names: []string{"ns1.park.example"}}.write(t, dir, "1")
	oneRSA, firstRSA := template{names: []string{"ns1.park.example"}, rsa: true}.write(t, dir, "1rsa")
	two, second := template{names: []string{"NS2.park.example"}}.write(t, dir, "2")
	wild, third := template{names: []string{"*.park.example"}}.write(t, dir, "3")
	s := newSource(t, Config{Files: []Pair{oneRSA, one, two, wild}, Log: (&journal{}).logger()})
	for name, want := range map[string]string{
		"ns1.park.example":   first,
		"NS1.Park.Example":   first,
		"ns2.park.example":   second,
		"ns3.park.example":   third,
		"a.ns3.park.example": first, // a wildcard is for one label
		"park.example":       first,
		"someone.else.com":   first,
		"":                   first,
		"192.0.2.1":          first, // a client sends no name then
		"x":                  first,
		"*.park.example":     third, // odd, but no harm
		"_.park.example":     third,
	} {
		wantServed(t, s, name, want)
	}
	for _, name := range []string{"ns1.park.example", "", "unknown.example"} {
		client := onlyRSA.Clone()
		client.ServerName = name
		if got := servedTo(t, s, client); got != firstRSA {
			t.Errorf("client that takes RSA alone, name %q: got %s, want the RSA certificate %s", name, got, firstRSA)
		}
	}
}

// A key on a curve that no key is exchanged on is served all the same.
func TestCertificateOnAnotherCurve(t *testing.T) {
	files, serial := template{names: []string{"ns1.park.example"}, curve: elliptic.P384()}.write(t, t.TempDir(), "1")
	s := newSource(t, Config{Files: []Pair{files}, Log: (&journal{}).logger()})
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		if got := servedTo(t, s, &tls.Config{ServerName: "ns1.park.example", MaxVersion: version}); got != serial {
			t.Errorf("%s: got %s, want %s", name, got, serial)
		}
	}
}

func TestValidCertificateOfANameGoesBeforeAnExpiredOne(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	old, _ := template{names: []string{"a.example"}, before: now.Add(-48 * time.Hour), after: now.Add(-24 * time.Hour)}.write(t, dir, "old")
	new, serial := template{names: []string{"a.example"}, rsa: true}.write(t, dir, "new")
	s := newSource(t, Config{Files: []Pair{old, new}, Log: (&journal{}).logger()})
	wantServed(t, s, "a.example", serial)
	wantServed(t, s, "", serial)
}
