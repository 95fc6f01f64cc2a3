package resolver

import (
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"domainpark/query"

	"github.com/miekg/dns"
)

var update = flag.Bool("update", false, "write what was seen into testdata instead of comparing")

const profiles = "../testdata/profiles"

// TestProfileErrors compares each bad profile with the messages beside it.
func TestProfileErrors(t *testing.T) {
	files, err := filepath.Glob(profiles + "/*.zone")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d profiles, %v", len(files), err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		if strings.HasPrefix(name, "good") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			cfg := testConfig()
			cfg.Profile = Source{Name: name, Text: text}
			if cfg.Profile.Text == nil {
				cfg.Profile.Text = []byte{}
			}
			_, err = New(cfg, nil, nil)
			if err == nil {
				t.Fatal("no error")
			}
			golden(t, strings.TrimSuffix(file, ".zone")+".want", err.Error()+"\n")
		})
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s\ngot:\n%swant:\n%s", file, got, want)
	}
}

// goodProfile is a resolver with the profile that uses everything.
func goodProfile(t *testing.T) *Resolver {
	t.Helper()
	text, err := os.ReadFile(profiles + "/good.zone")
	if err != nil {
		t.Fatal(err)
	}
	cfg := testConfig()
	cfg.Profile = Source{Name: "good.zone", Text: text}
	cfg.RUF = []string{"f,x@park.example", "https://park.example/ruf"}
	cfg.IODEF = []string{"a@park.example", "https://park.example/iodef"}
	cfg.Hostmaster = "host.master@park.example"
	return mustNew(t, cfg)
}

func TestProfileAnswers(t *testing.T) {
	r := goodProfile(t)
	for _, c := range []struct {
		name  string
		qtype uint16
		want  []string // TTL and class left out
	}{
		{"example.com", dns.TypeSOA, []string{`SOA ns1.park.example. host\.master.park.example. 7 7200 900 1209600 300`}},
		{"example.com", dns.TypeNS, []string{"NS ns1.park.example.", "NS ns2.park.example."}},
		{"example.com", dns.TypeMX, []string{"MX 10 mx.example.com.", "MX 20 mx.backup.example.net."}},
		{"example.com", dns.TypeTXT, []string{`TXT "v=spf1 redirect=_spf.example.com"`, `TXT "plain \"text\" with ; and \\ in it"`}},
		{"example.co.uk", dns.TypeCAA, []string{`CAA 0 issue ";"`, `CAA 0 iodef "mailto:security@example.co.uk"`}},
		{"example.com", dns.TypeA, []string{"A 192.0.2.83"}},
		{"www.example.com", dns.TypeA, []string{"A 192.0.2.80"}},
		{"WwW.example.com", dns.TypeAAAA, []string{"AAAA 2001:db8::80"}},
		{"x.example.com", dns.TypeA, []string{"A 192.0.2.81"}},
		{"x.example.com", dns.TypeAAAA, nil},
		{"a.x.example.com", dns.TypeA, []string{"A 192.0.2.82"}},
		{"y.x.example.com", dns.TypeA, []string{"A 192.0.2.83"}},
		{"b.example.com", dns.TypeA, []string{"A 192.0.2.84"}},
		{"z.y.b.example.com", dns.TypeA, []string{"A 192.0.2.84"}},
		{"_x.example.com", dns.TypeA, nil},
		{"_sip._tcp.example.com", dns.TypeSRV, []string{"SRV 0 0 0 ."}},
		{"_imaps._tcp.example.com", dns.TypeSRV, []string{"SRV 0 5 993 imap.example.com."}},
		{"_dmarc.example.com", dns.TypeTXT, []string{`TXT "v=DMARC1; p=reject; rua=mailto:r@park.example; ruf=mailto:f%2Cx@park.example,https://park.example/ruf;"`}},
		{"p.q._x.example.com", dns.TypeTXT, []string{`TXT "scoped"`}},
		{"p._q._x.a.b.example.com", dns.TypeTXT, []string{`TXT "scoped"`}},
		{"p._x.example.com", dns.TypeTXT, nil},
		{"p.q.r._x.example.com", dns.TypeTXT, nil},
		{"report.example.com", dns.TypeCAA, []string{`CAA 0 iodef "mailto:a@park.example"`, `CAA 0 iodef "https://park.example/iodef"`}},
		{"each.example.com", dns.TypePTR, []string{"PTR ns1.park.example.", "PTR ns2.park.example."}},
	} {
		t.Run(c.name+" "+dns.Type(c.qtype).String(), func(t *testing.T) {
			a := ask(t, r, c.name, c.qtype)
			var got []string
			for _, rr := range a.Answer {
				h := rr.Header()
				got = append(got, strings.Join(strings.Fields(rr.String())[3:], " "))
				if h.Ttl != 600 || h.Name != c.name+"." {
					t.Errorf("owner %s, TTL %d", h.Name, h.Ttl)
				}
			}
			// Fields would join blanks in texts; there is one of each only.
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q\nwant %q", got, c.want)
			}
			if len(c.want) == 0 && (len(a.Ns) != 1 || a.Ns[0].Header().Ttl != 300) {
				t.Errorf("NODATA without SOA, or not with the minimum as TTL: %v", a.Ns)
			}
		})
	}
}

func TestNegativeTTLIsTheSmallerOfSOAAndMinimum(t *testing.T) { // RFC 2308 §3
	for _, c := range []struct {
		soa  string
		want uint32
	}{
		{"@ 60 SOA {mname} {rname} 1 2 3 4 3600", 60},
		{"@ 3600 SOA {mname} {rname} 1 2 3 4 60", 60},
	} {
		cfg := testConfig()
		cfg.Profile = Source{Name: "t", Text: []byte(c.soa + "\n@ NS {ns}\n")}
		a := ask(t, mustNew(t, cfg), "x.example.com", dns.TypeA)
		if len(a.Ns) != 1 || a.Ns[0].Header().Ttl != c.want || a.Ns[0].Header().Name != "example.com." {
			t.Errorf("%s: %v", c.soa, a.Ns)
		}
	}
}

// TestLongBaseIsSplit spells out a base whose text does not fit into one
// character-string, and one that needs escapes.
func TestLongBaseIsSplit(t *testing.T) {
	base := strings.Repeat("a", 63) + ".com"
	cfg := testConfig()
	long := strings.Repeat(strings.Repeat("b", 60)+".", 3) + base
	cfg.Apexes = []string{long, `we\.ird.example.com`}
	cfg.Profile = Source{Name: "t", Text: []byte("@ SOA {mname} {rname} 1 2 3 4 5\n@ NS {ns}\n@ TXT \"0123456789 {base} 0123456789\" \"\" \"x\"\n")}
	r := mustNew(t, cfg)
	a := ask(t, r, long, dns.TypeTXT)
	if len(a.Answer) != 1 {
		t.Fatal(a)
	}
	txt := a.Answer[0].(*dns.TXT).Txt
	if want := "0123456789 " + long + " 0123456789"; len(txt) != 4 || len(txt[0]) != 255 || txt[0]+txt[1] != want || txt[2] != "" || txt[3] != "x" {
		t.Errorf("%q", txt)
	}
	a = ask(t, r, `we\.ird.example.com`, dns.TypeTXT)
	if txt := a.Answer[0].(*dns.TXT).Txt[0]; txt != `0123456789 we\\.ird.example.com 0123456789` {
		t.Errorf("%q", txt)
	}
}

// TestLoadWithErrorKeepsWhatIsInUse: a mistake must not take answers away.
func TestLoadWithErrorKeepsWhatIsInUse(t *testing.T) {
	r := mustNew(t, testConfig())
	cfg := testConfig()
	cfg.Profile = Source{Name: "p.zone", Text: []byte("** TXT")}
	cfg.Refuse = []string{"bad..name"}
	err := r.Load(cfg)
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%v", err)
	}
	if a := ask(t, r, "example.com", dns.TypeMX); len(a.Answer) != 1 {
		t.Errorf("after a failed load: %v", a)
	}
	cfg = testConfig()
	cfg.NameServers = []NameServer{{Name: "other.example.net"}}
	if err := r.Load(cfg); err != nil {
		t.Fatal(err)
	}
	if a := ask(t, r, "example.com", dns.TypeNS); len(a.Answer) != 1 || a.Answer[0].(*dns.NS).Ns != "other.example.net." {
		t.Errorf("after a load: %v", a.Answer)
	}
}

func TestConfigErrorsComeTogether(t *testing.T) {
	_, err := New(Config{
		NameServers: []NameServer{{Name: "a..b"}, {Name: "ns.example.net"}, {Name: "NS.example.net."}, {Name: "."},
			{Name: "v6.example.net", Addresses: []netip.Addr{netip.MustParseAddr("::ffff:192.0.2.1"), netip.MustParseAddr("fe80::1%eth0"), {}}}},
		TTL:            -1,
		Refuse:         []string{strings.Repeat("x", 64), "."},
		Only:           []string{"ok.example", ""},
		PublicSuffixes: Source{Name: "psl.dat", Text: []byte("com\na.*.b\n// comment\nbad..rule\n")},
		ACMEHosts:      []string{"a..b"},
		Identity:       Identity{ID: strings.Repeat("x", 256)},
	}, nil, nil)
	if err == nil {
		t.Fatal("no error")
	}
	golden(t, profiles+"/config.want", err.Error()+"\n")

	_, err = New(Config{NameServers: []NameServer{{Name: "ns.example.net"}}, Hostmaster: "nobody", RUA: []string{"x"}, RUF: []string{"@y"}, IODEF: []string{"z@"}}, nil, nil)
	if err == nil {
		t.Fatal("no error")
	}
	golden(t, profiles+"/mailboxes.want", err.Error()+"\n")
}

// TestMaxAge is what an HTTP cache is told (RFC 8484 §5.1).
func TestMaxAge(t *testing.T) {
	r := mustNew(t, testConfig())
	for _, c := range []struct {
		name  string
		qtype uint16
		want  uint32
	}{{"example.com", dns.TypeMX, 3600}, {"example.com", dns.TypeNS, 86400}, {"example.com", dns.TypeA, 3600}, {"com", dns.TypeA, 0}} {
		q := &query.Query{Message: packed(t, c.name, c.qtype), Transport: query.DoH}
		r.Resolve(nil, q)
		if q.MaxAge != c.want {
			t.Errorf("%s %s: %d, want %d", c.name, dns.Type(c.qtype), q.MaxAge, c.want)
		}
	}
}
