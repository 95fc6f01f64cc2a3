package resolver

import (
	"os"
	"strings"
	"testing"

	"github.com/weppos/publicsuffix-go/publicsuffix"
	"golang.org/x/net/idna"
	xpublicsuffix "golang.org/x/net/publicsuffix"
)

func baseText(t *testing.T, r *Resolver, name string) string {
	t.Helper()
	base, err := r.current.Load().baseOf(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(appendText(nil, base))
}

// TestBase is DESIGN §3: what the parked domain of a name is; "" stands for
// none, which is refused.
func TestBase(t *testing.T) {
	cfg := testConfig()
	cfg.Apexes = []string{"deep.er.example.com", "city.kawasaki.jp", "dev"}
	r := mustNew(t, cfg)
	for name, want := range map[string]string{
		".":                           "",
		"com":                         "",
		"co.uk":                       "",
		"unlisted":                    "",
		"unlisted.unlisted":           "unlisted.unlisted",
		"a.b.unlisted.unlisted":       "unlisted.unlisted",
		"example.com":                 "example.com",
		"a.b.example.com":             "example.com",
		"example.co.uk":               "example.co.uk",
		"a.b.example.co.uk":           "example.co.uk",
		"github.io":                   "github.io",
		"foo.github.io":               "foo.github.io",
		"a.foo.github.io":             "foo.github.io",
		"_dmarc.github.io":            "github.io",
		"x._domainkey.github.io":      "github.io",
		"_dmarc.com":                  "",
		"_dmarc.co.uk":                "",
		"shop.uk.com":                 "shop.uk.com",
		"uk.com":                      "uk.com",
		"ck":                          "",
		"foo.ck":                      "",
		"bar.foo.ck":                  "bar.foo.ck",
		"www.ck":                      "www.ck",
		"a.www.ck":                    "www.ck",
		"deep.er.example.com":         "deep.er.example.com",
		"x.deep.er.example.com":       "deep.er.example.com",
		"er.example.com":              "example.com",
		"city.kawasaki.jp":            "city.kawasaki.jp",
		"other.kawasaki.jp":           "",
		"x.other.kawasaki.jp":         "x.other.kawasaki.jp",
		"dev":                         "dev",
		"_dmarc.dev":                  "dev",
		"example.dev":                 "example.dev",
		"1.2.0.192.in-addr.arpa":      "",
		"local":                       "",
		"a.b.local":                   "",
		"localhost":                   "",
		"x.invalid":                   "",
		"xn--fiqs8s":                  "",
		"xn--bcher-kva.xn--fiqs8s":    "xn--bcher-kva.xn--fiqs8s",
		"foo.execute-api.example.org": "example.org",
	} {
		if got := baseText(t, r, name); got != want {
			t.Errorf("%s: base %q, want %q", name, got, want)
		}
	}
}

func TestOnlyListedDomainsAreParked(t *testing.T) {
	cfg := testConfig()
	cfg.Only = []string{"Mine.Example.", "sub.other.example"}
	cfg.Refuse = []string{"not.mine.example"}
	r := mustNew(t, cfg)
	for name, want := range map[string]string{
		"mine.example":         "mine.example",
		"a.b.mine.example":     "mine.example",
		"other.example":        "",
		"sub.other.example":    "other.example",
		"x.not.mine.example":   "",
		"example.com":          "",
		"localhost.example":    "",
		"notmine.example":      "",
		"_dmarc.mine.example":  "mine.example",
		"xmine.example":        "",
		"mine.example.example": "",
	} {
		if got := baseText(t, r, name); got != want {
			t.Errorf("%s: base %q, want %q", name, got, want)
		}
	}
}

func TestRefuseNilTakesTheDefaultAndEmptyRefusesNothing(t *testing.T) {
	cfg := testConfig()
	if got := baseText(t, mustNew(t, cfg), "x.home.local"); got != "" {
		t.Errorf("nil: base %q", got)
	}
	cfg.Refuse = []string{}
	if got := baseText(t, mustNew(t, cfg), "x.home.local"); got != "home.local" {
		t.Errorf("empty: base %q", got)
	}
}

// TestSuffixesAgreeWithXNet compares each rule of the list, and names below
// it, with golang.org/x/net/publicsuffix, whose list has another date: what
// differs must be a small part.
func TestSuffixesAgreeWithXNet(t *testing.T) {
	cfg := testConfig()
	cfg.Refuse = []string{}
	r := mustNew(t, cfg)
	checked, differ := 0, 0
	for _, rule := range publicsuffix.DefaultRules() {
		suffix, err := idna.ToASCII(rule.Value)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{suffix, "a." + suffix, "b.a." + suffix, "c.b.a." + suffix} {
			checked++
			want, err := xpublicsuffix.EffectiveTLDPlusOne(name)
			if err != nil { // the name is a public suffix
				want = ""
				if _, icann := xpublicsuffix.PublicSuffix(name); !icann && strings.Contains(name, ".") {
					want = name
				}
			}
			if got := baseText(t, r, name); got != want {
				differ++
			}
		}
	}
	t.Logf("%d of %d names have another base in x/net's list", differ, checked)
	if checked < 30000 || differ*100 > checked {
		t.Errorf("%d of %d names differ: more than the dates of the lists explain", differ, checked)
	}
}

// TestSuffixFile reads the same list in its own format.
func TestSuffixFile(t *testing.T) {
	cfg := testConfig()
	text, err := os.ReadFile("testdata/suffixes.dat")
	if err != nil {
		t.Fatal(err)
	}
	cfg.PublicSuffixes = Source{Name: "suffixes.dat", Text: text}
	r := mustNew(t, cfg)
	for name, want := range map[string]string{
		"com":               "",
		"a.b.com":           "b.com",
		"b.test.ck":         "b.test.ck",
		"www.ck":            "www.ck",
		"xn--85x722f.cn":    "",
		"a.xn--85x722f.cn":  "a.xn--85x722f.cn",
		"blog.example":      "blog.example",
		"x.y.blog.example":  "y.blog.example",
		"y.z.hosted.sample": "y.z.hosted.sample",
		"co.uk":             "co.uk", // not in this file
	} {
		if got := baseText(t, r, name); got != want {
			t.Errorf("%s: base %q, want %q", name, got, want)
		}
	}
}

// TestACMEHostsKeepCAAAway: the profile would forbid our own certificate.
func TestACMEHostsKeepCAAAway(t *testing.T) {
	cfg := testConfig()
	cfg.ACMEHosts = []string{"ns1.park.example"}
	r := mustNew(t, cfg)
	for name, want := range map[string]int{"park.example": 0, "ns1.park.example": 0, "x.ns2.park.example": 0, "example.com": 3, "park.example.com": 3} {
		a := ask(t, r, name, typeCAA)
		if len(a.Answer) != want || want == 0 && len(a.Ns) != 1 {
			t.Errorf("%s: %v", name, a)
		}
	}
	if a := ask(t, r, "park.example", typeTXT); len(a.Answer) != 1 {
		t.Errorf("TXT went too: %v", a)
	}
}
