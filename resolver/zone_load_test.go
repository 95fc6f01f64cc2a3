package resolver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"domainpark/query"

	"github.com/miekg/dns"
)

const zoneFiles = "../testdata/zones"

// includeFrom reads files of dir and of no other directory.
func includeFrom(dir string) func(string) (Source, error) {
	return func(file string) (Source, error) {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return Source{}, err
		}
		defer root.Close()
		text, err := root.ReadFile(file)
		if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
			err = pe.Err // whose text is that of every system
		}
		return Source{Name: file, Text: text}, err
	}
}

// TestZoneErrors compares the mistakes in each bad zone, all of which are
// called example.com, with the messages beside it.
func TestZoneErrors(t *testing.T) {
	files, err := filepath.Glob(zoneFiles + "/bad-*.zone")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d zones, %v", len(files), err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			cfg := testConfig()
			cfg.Zones = []Zone{{"example.com", Source{name, text}}}
			cfg.Include = includeFrom(zoneFiles)
			if _, err = New(cfg, nil, nil); err == nil {
				t.Fatal("no error")
			}
			golden(t, strings.TrimSuffix(file, ".zone")+".want", err.Error()+"\n")
		})
	}
}

// zonesOf is a resolver with the zones of texts, by name.
func zonesOf(t testing.TB, texts map[string]string) *Resolver {
	t.Helper()
	cfg := testConfig()
	for name, text := range texts {
		cfg.Zones = append(cfg.Zones, Zone{name, Source{Name: name + ".zone", Text: []byte("$TTL 3600\n@ SOA ns hostmaster 1 7200 900 1209600 300\n@ NS ns\nns A 192.0.2.1\n" + text)}})
	}
	return mustNew(t, cfg)
}

func TestZoneErrorsOfTheListOfZones(t *testing.T) {
	good := []byte("$TTL 3600\n@ SOA ns hostmaster 1 7200 900 1209600 300\n@ NS ns\nns A 192.0.2.1\n")
	for want, zones := range map[string][]Zone{
		"B.zone:1: the zone example.com. is there twice, in a.zone as well": {{"example.com", Source{"a.zone", good}}, {"Example.COM.", Source{"B.zone", good}}},
		"..zone:1: the root can't be a zone here":                           {{".", Source{"..zone", good}}},
		`a..b.zone:1: "a..b" has an empty label`:                            {{"a..b", Source{"a..b.zone", good}}},
		"x.zone:5:1: $INCLUDE is not possible here":                         {{"x", Source{"x.zone", append(slices.Clone(good), "$INCLUDE y"...)}}},
		"a.zone:1: no SOA record for a., the zone's name; every zone has one (RFC 1035 §5.2)\na.zone:1: no NS record for a., the zone's name; every zone has one (RFC 1035 §5.2)\nc.zone:1:1: $NO is not known; $ORIGIN, $TTL, $INCLUDE and $GENERATE are (RFC 1035 §5.1, RFC 2308 §4)": {{"a", Source{"a.zone", nil}}, {"b", Source{"b.zone", good}}, {"c", Source{"c.zone", []byte("$NO")}}},
	} {
		cfg := testConfig()
		cfg.Zones = zones
		if _, err := New(cfg, nil, nil); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// TestZoneSetsFitIntoAMessage: the largest set that loads is answered over TCP,
// one record more is a mistake.
func TestZoneSetsFitIntoAMessage(t *testing.T) {
	var text strings.Builder
	n := maxSetBytes / (2 + 10 + 4)
	for i := range n {
		fmt.Fprintf(&text, "big A 10.0.%d.%d\n", i/256, i%256)
	}
	r := zonesOf(t, map[string]string{"example.com": text.String()})
	if a := ask(t, r, "big.example.com", dns.TypeA); len(a.Answer) != n || a.Truncated {
		t.Errorf("%d of %d records, TC=%t", len(a.Answer), n, a.Truncated)
	}
	cfg := testConfig()
	text.WriteString("big A 10.1.0.0\n")
	cfg.Zones = []Zone{{"example.com", Source{"z", []byte("$TTL 60\n@ SOA ns hostmaster 1 2 3 4 5\n@ NS ns.example.net.\n" + text.String())}}}
	want := "z:4035: the A records of big.example.com. take more than the 64511 bytes that fit into one message with all that belongs there"
	if _, err := New(cfg, nil, nil); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// TestZoneMaxAge: an answer may be kept for its smallest TTL, a negative one
// as RFC 2308 §5 says, and a truncated one not at all.
func TestZoneMaxAge(t *testing.T) {
	r := zonesOf(t, map[string]string{"example.com": "www 50 CNAME web\nweb 70 A 192.0.2.2\nbig TXT " + strings.Repeat(`"`+strings.Repeat("x", 255)+`" `, 3)})
	for _, c := range []struct {
		name  string
		qtype uint16
		want  uint32
	}{
		{"www.example.com", dns.TypeA, 50},
		{"web.example.com", dns.TypeA, 70},
		{"web.example.com", dns.TypeTXT, 300},
		{"nothing.example.com", dns.TypeA, 300},
		{"www.example.com", dns.TypeTXT, 50},
		{"big.example.com", dns.TypeTXT, 0},
	} {
		m := new(dns.Msg).SetQuestion(dns.Fqdn(c.name), c.qtype)
		wire, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		q := &query.Query{Message: wire}
		r.Resolve(nil, q)
		if q.MaxAge != c.want || string(appendText(nil, q.Base)) != "example.com" {
			t.Errorf("%s %s: %d seconds of %s, want %d", c.name, dns.Type(c.qtype), q.MaxAge, appendText(nil, q.Base), c.want)
		}
	}
}

// TestZoneWithMistakesChangesNothing: it loads whole or not at all, and the
// zones in use stay.
func TestZoneWithMistakesChangesNothing(t *testing.T) {
	r := zonesOf(t, map[string]string{"example.com": "www A 192.0.2.7"})
	cfg := testConfig()
	cfg.Zones = []Zone{{"example.com", Source{"example.com.zone", []byte("$TTL 60\n@ NS ns.example.net.")}}}
	if err := r.Load(cfg); err == nil {
		t.Fatal("no error")
	}
	if a := ask(t, r, "www.example.com", dns.TypeA); len(a.Answer) != 1 {
		t.Errorf("got %v", a)
	}
	if z := r.Zones(); len(z) != 1 || z[0] != (ZoneInfo{Name: "example.com", Records: 4}) {
		t.Errorf("zones: %v", z)
	}
}

// TestGoodZone asks for what the zone with everything in it has.
func TestGoodZone(t *testing.T) {
	text, err := os.ReadFile(zoneFiles + "/good.zone")
	if err != nil {
		t.Fatal(err)
	}
	cfg := testConfig()
	cfg.Zones = []Zone{{"Example.COM.", Source{"good.zone", text}}}
	cfg.Include = includeFrom(zoneFiles)
	r := mustNew(t, cfg)
	for _, c := range []struct {
		name  string
		qtype uint16
		want  []string
	}{
		{"example.com", dns.TypeSOA, []string{`example.com. 3600 IN SOA ns1.example.com. host\.master.example.com. 2026010101 7200 900 1209600 300`}},
		{"example.com", dns.TypeNS, []string{"example.com. 3600 IN NS ns.sub.example.com.", "example.com. 3600 IN NS ns1.example.com."}},
		{"example.com", dns.TypeMX, []string{"example.com. 3600 IN MX 10 Mail.example.com."}},
		{"example.com", dns.TypeTXT, []string{`example.com. 3600 IN TXT "one" "two; not a comment" "three"`}},
		{"ns1.example.com", dns.TypeA, []string{"ns1.example.com. 300 IN A 192.0.2.1"}},
		{"a.b.mail.example.com", dns.TypeA, []string{"a.b.mail.example.com. 3600 IN A 192.0.2.3"}},
		{"https.example.com", dns.TypeHTTPS, []string{`https.example.com. 3600 IN HTTPS 1 . alpn="h2"`}},
		{"apl.example.com", dns.TypeAPL, []string{"apl.example.com. 3600 IN APL"}},
		{"type.example.com", 65400, []string{`type.example.com. 3600 CLASS1 TYPE65400 \# 3 010203`}},
		{"known.example.com", dns.TypeA, []string{"known.example.com. 3600 IN A 192.0.2.5"}},
		{`\000\255.example.com`, dns.TypeTXT, []string{`\000\255.example.com. 3600 IN TXT "odd label"`}},
		{`escaped\.dot.example.com`, dns.TypeTXT, []string{`escaped\.dot.example.com. 3600 IN TXT "\"\\A"`}},
		{"inc.example.com", dns.TypeA, []string{"inc.example.com. 60 IN A 192.0.2.5"}},
		{"below.more.inc.example.com", dns.TypeA, []string{"below.more.inc.example.com. 60 IN A 192.0.2.6"}},
		{"behind.example.com", dns.TypeA, []string{"behind.example.com. 3600 IN A 192.0.2.7"}},
		{"deeper.example.com", dns.TypeA, []string{"deeper.example.com. 3600 IN A 192.0.2.8"}},
		{"x.y.z.deeper.example.com", dns.TypeA, []string{"x.y.z.deeper.example.com. 3600 IN A 192.0.2.9"}},
	} {
		var got []string
		for _, rr := range ask(t, r, c.name, c.qtype).Answer {
			got = append(got, strings.Join(strings.Fields(rr.String()), " "))
		}
		slices.Sort(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s %s: got %q, want %q", c.name, dns.Type(c.qtype), got, c.want)
		}
	}
}

// TestZoneAnswersAllocateNothing: as parked ones, whatever the answer.
func TestZoneAnswersAllocateNothing(t *testing.T) {
	cfg := testConfig()
	cfg.RUA = []string{"r@one.example"}
	cfg.Zones = zonesForAnswers()
	r := mustNew(t, cfg)
	for _, c := range zoneClasses {
		for tr := range query.Transports {
			q := &query.Query{Message: packed(t, c.qname, c.qtype), Transport: tr}
			buf := make([]byte, 0, maxUDP)
			if n := testing.AllocsPerRun(100, func() { r.Resolve(buf, q) }); n != 0 {
				t.Errorf("%s over %s: %v allocations", c.name, tr, n)
			}
			if q.Kind != c.kind || q.Rcode != c.rcode {
				t.Errorf("%s: kind %s, rcode %d, want %s, %d", c.name, q.Kind, q.Rcode, c.kind, c.rcode)
			}
		}
	}
}

// zoneClasses has a query for each class of answer from a zone.
var zoneClasses = []struct {
	name, qname string
	qtype       uint16
	kind        query.Kind
	rcode       uint16
}{
	{"A", "ns.one.example", dns.TypeA, query.KindAnswer, 0},
	{"MX with addresses", "one.example", dns.TypeMX, query.KindAnswer, 0},
	{"CNAME", "alias.one.example", dns.TypeA, query.KindAnswer, 0},
	{"CNAME into another zone", "across.one.example", dns.TypeA, query.KindAnswer, 0},
	{"CNAME to NODATA", "alias.one.example", dns.TypeTXT, query.KindAnswer, 0},
	{"CNAME to NXDOMAIN", "nowhere.one.example", dns.TypeA, query.KindNXDomain, 3},
	{"CNAME loop", "loop.one.example", dns.TypeA, query.KindAnswer, 0},
	{"DNAME", "ns.d.one.example", dns.TypeA, query.KindAnswer, 0},
	{"DNAME too long", strings.Repeat("a.", 30) + "long.one.example", dns.TypeA, query.KindAnswer, 6},
	{"wildcard", "a.b.w.one.example", dns.TypeA, query.KindAnswer, 0},
	{"NODATA", "ns.one.example", dns.TypeTXT, query.KindNoData, 0},
	{"NXDOMAIN", "x.y.one.example", dns.TypeA, query.KindNXDomain, 3},
	{"referral", "x.sub.one.example", dns.TypeA, query.KindReferral, 0},
	{"DS", "sub.one.example", dns.TypeDS, query.KindAnswer, 0},
	{"ANY", "ns.one.example", dns.TypeANY, query.KindAnswer, 0},
	{"report", "example.com._report._dmarc.one.example", dns.TypeTXT, query.KindAnswer, 0},
}

func zonesForAnswers() []Zone {
	long := strings.Repeat("l", 63)
	text := "$TTL 3600\n@ SOA ns hostmaster 1 7200 900 1209600 300\n@ NS ns\n@ MX 10 ns\nns A 192.0.2.1\nalias CNAME ns\nacross CNAME ns.two.example.\nnowhere CNAME nx\n" +
		"loop CNAME loop2\nloop2 CNAME loop\nd DNAME two.example.\nlong DNAME " + long + "." + long + "." + long + "\n*.w A 192.0.2.2\nsub NS ns.sub\nsub DS 1 8 2 " + strings.Repeat("01", 32) + "\nns.sub A 192.0.2.3\n"
	return []Zone{{"one.example", Source{"one.example.zone", []byte(text)}}, {"two.example", Source{"two.example.zone", []byte(text)}}}
}

// longGenerate is a directive that makes a thousand records or more.
var longGenerate = regexp.MustCompile(`(?i)\$GENERATE\s[^\n]*[0-9]{4}`)

// FuzzZone loads any text as a zone: it must not panic, and what loads must
// answer messages that parse, for every name in it, and amplify nothing.
func FuzzZone(f *testing.F) {
	files, err := filepath.Glob(zoneFiles + "/*.zone")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	cfg := testConfig()
	cfg.PublicSuffixes = Source{Name: "short", Text: []byte("com\nexample\n")} // thousands are read in the time of one
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1<<16 || longGenerate.Match(text) {
			return
		}
		cfg := cfg
		cfg.Zones = []Zone{{"example.com", Source{"fuzz.zone", text}}}
		included := 0
		cfg.Include = func(string) (Source, error) { // maxIncluded copies of a long text would take seconds, which counts as hung
			if included++; included > 20 {
				return Source{}, errors.New("read often enough")
			}
			return Source{Name: "inner", Text: text}, nil
		}
		r, err := New(cfg, nil, nil)
		if err != nil {
			if strings.TrimSpace(err.Error()) == "" {
				t.Error("an error without a reason")
			}
			return
		}
		s := r.current.Load()
		for wire, node := range s.domains.all() {
			if node.flags&zoneName == 0 {
				continue
			}
			name := string(appendText(nil, []byte(wire)))
			for _, qtype := range []uint16{dns.TypeA, dns.TypeNS, dns.TypeMX, dns.TypeDS, dns.TypeRRSIG, dns.TypeANY} {
				for _, below := range []string{"", "x."} {
					if wire, err := wireName(below + name); err == nil && len(wire) <= query.MaxNameBytes {
						ask(t, r, below+name, qtype)
						amplifiesNothing(t, r, askDO(t, r, dns.Fqdn(below+name), qtype, true))
					}
				}
			}
		}
	})
}

// TestZoneThatIncludesItselfManyTimes ends with one mistake for the number of
// files, not with three to the power of eight of them.
func TestZoneThatIncludesItselfManyTimes(t *testing.T) {
	itself := Source{"x.zone", []byte(strings.Repeat("$INCLUDE x.zone\n", 3))}
	cfg := testConfig()
	cfg.Zones = []Zone{{"x.example", itself}}
	read := 0
	cfg.Include = func(string) (Source, error) {
		if read++; read > maxIncluded {
			return Source{}, errors.New("read too often")
		}
		return itself, nil
	}
	_, err := New(cfg, nil, nil)
	const want = "$INCLUDE x.zone: more than 1000 files for one zone; does a file include itself?"
	if err == nil || strings.Count(err.Error(), want) != 1 || strings.Contains(err.Error(), "read too often") {
		t.Errorf("%.2000v", err)
	}
}

// TestReasonsAreBounded: a file of one long token, in place of a zone or of the
// profile, is not quoted whole.
func TestReasonsAreBounded(t *testing.T) {
	for _, token := range []string{strings.Repeat("x", 1<<20), strings.Repeat("ä", 1<<19)} {
		name := []NameServer{{Name: "ns1.park.example"}}
		for where, cfg := range map[string]Config{
			"example.com.zone:1": {NameServers: name, Zones: []Zone{{"example.com.", Source{Name: "example.com.zone", Text: []byte(token + "\n")}}}},
			"profile.zone:1":     {NameServers: name, Profile: Source{Name: "profile.zone", Text: []byte("@ A " + token + "\n")}},
		} {
			_, err := New(cfg, nil, nil)
			if err == nil {
				t.Fatalf("%s: no error", where)
			}
			if text := err.Error(); !strings.Contains(text, where) || !utf8.ValidString(text) || len(text) > 2*maxReasonBytes {
				t.Errorf("%d bytes: %.200s", len(text), text)
			}
		}
	}
}

// TestPanicWhileReadingAZoneIsAnErrorOfItsFile: files are read in goroutines of
// their own, where a panic would end the server that reloads.
func TestPanicWhileReadingAZoneIsAnErrorOfItsFile(t *testing.T) {
	cfg := testConfig()
	cfg.Zones = []Zone{{"x.example", Source{"x.zone", []byte("$INCLUDE y\n")}}}
	cfg.Include = func(string) (Source, error) { panic("oh") }
	_, err := New(cfg, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "x.zone:1: BUG: panic while reading this file: oh") {
		t.Errorf("%.500v", err)
	}
}

// TestLongLinesAndManyMistakesAreBounded: a file of something else in the place
// of a zone, a profile or a list must not cost more memory than it has bytes.
func TestLongLinesAndManyMistakesAreBounded(t *testing.T) {
	nuls := strings.Repeat("\x00", MaxLineBytes+1)
	for _, c := range []struct{ name, text, want string }{
		{"one line", "\n; a comment\n" + nuls, ":3: a line longer than 1 MiB"},
		{"with an end", nuls + "\n@ A 192.0.2.1\n", ":1: a line longer than 1 MiB"},
		{"parentheses", "@ TXT (\n" + strings.Repeat(strings.Repeat("x", 1000)+"\n", MaxLineBytes/1000), ":1: a record longer than 1 MiB"},
		{"mistakes", strings.Repeat("a\n", 3*maxMistakes), ":10001: more than 10000 mistakes"},
	} {
		for where, cfg := range map[string]Config{
			"x.zone":       {Zones: []Zone{{"x.example", Source{"x.zone", []byte(c.text)}}}},
			"profile.zone": {Profile: Source{"profile.zone", []byte(c.text)}},
			"list.dat":     {PublicSuffixes: Source{"list.dat", []byte(c.text)}},
		} {
			cfg.NameServers = []NameServer{{Name: "ns1.park.example"}}
			if where == "list.dat" && !strings.Contains(c.want, "line") {
				continue // it has neither records nor so many mistakes
			}
			_, err := New(cfg, nil, nil)
			if err == nil || strings.Count(err.Error(), where+c.want) != 1 || len(err.Error()) > 1000*maxMistakes {
				t.Errorf("%s in %s: %.300v", c.name, where, err)
			}
		}
	}
	fits := "$TTL 1h\n@ SOA ns1 hostmaster 1 1h 1h 1h 1h\n@ NS ns1.example.\nbig TYPE65280 \\# 64000 " + strings.Repeat("00", 64000) + "\n; " + strings.Repeat("x", MaxLineBytes-2) + "\n"
	cfg := testConfig()
	cfg.Zones = []Zone{{"x.example", Source{"x.zone", []byte(fits)}}}
	if _, err := New(cfg, nil, nil); err != nil {
		t.Errorf("the longest line and record: %.300v", err)
	}
}
