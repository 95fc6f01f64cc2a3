package resolver

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"domainpark/query"

	"github.com/miekg/dns"
)

// signedZones are one zone, signed in each of the ways to deny what is not there.
var signedZones = []string{"signed-nsec", "signed-nsec3", "signed-optout"}

func signedText(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(zoneFiles + "/" + name + ".zone")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// loadSigned loads a zone called example.com.
func loadSigned(text string, verify int) (*Resolver, error) {
	cfg := testConfig()
	cfg.PublicSuffixes = Source{Name: "short", Text: []byte("com\nexample\n")}
	cfg.RUA = []string{"r@example.com"}
	cfg.Zones = []Zone{{"example.com", Source{"z", []byte(text)}}}
	cfg.Verify = verify
	return New(cfg, nil, nil)
}

// signedQuestions has one for each class of answer from a signed zone.
var signedQuestions = []struct {
	name, qtype string
}{
	{"", "SOA"}, {"", "DNSKEY"}, {"", "MX"}, {"", "TXT"}, {"", "ANY"}, {"", "DS"}, {"", "RRSIG"}, {"", "NSEC"}, {"", "NSEC3PARAM"},
	{"mail", "A"}, {"mail", "TXT"}, {"mail", "RRSIG"}, {"mail", "ANY"},
	{"alias", "A"}, {"alias", "TXT"}, {"alias", "NSEC"}, {"alias", "RRSIG"}, {"alias", "ANY"},
	{"a.b.w", "A"}, {"a.b.w", "TXT"}, {"a.b.w", "RRSIG"}, {"a.b.w", "ANY"}, {"*.w", "TXT"}, {"w", "A"}, {"a.x", "AAAA"}, {"a.x", "TXT"},
	{"a.d", "A"}, {"b.d", "A"}, {"empty", "A"}, {"b.empty", "A"}, {"a.b.empty", "A"},
	{"no", "A"}, {"no.no.a.b.empty", "A"}, {"example.net._report._dmarc", "TXT"},
	{"sub", "A"}, {"www.sub", "A"}, {"sub", "DS"}, {"plain", "A"}, {"www.plain", "A"}, {"plain", "DS"},
	{"plainer", "A"}, {"lone.plainer", "A"}, {"lone.plainer", "DS"}, {"no.plainer", "A"},
}

// TestSignedZoneAnswers: what is answered, to who knows DNSSEC and to others, is
// what stands beside the zone, and each signature in it is good.
func TestSignedZoneAnswers(t *testing.T) {
	for _, zone := range signedZones {
		t.Run(zone, func(t *testing.T) {
			text := signedText(t, zone)
			r, err := loadSigned(text, 0)
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			for _, q := range signedQuestions {
				name := strings.TrimPrefix(q.name+".example.com.", ".")
				for _, do := range []bool{false, true} {
					m := askDO(t, r, name, dns.StringToType[q.qtype], do)
					fmt.Fprintf(&b, "%s %s do=%t: %s aa=%t\n", name, q.qtype, do, dns.RcodeToString[m.Rcode], m.Authoritative)
					writeSection(&b, "answer", m.Answer)
					writeSection(&b, "authority", m.Ns)
					writeSection(&b, "additional", m.Extra)
					verifySections(t, r, m)
				}
			}
			golden(t, zoneFiles+"/"+zone+".answers", b.String())
		})
	}
}

// askDO asks over TCP.
func askDO(t testing.TB, r *Resolver, name string, qtype uint16, do bool) *dns.Msg {
	t.Helper()
	wire, err := new(dns.Msg).SetQuestion(name, qtype).SetEdns0(1232, do).Pack()
	if err != nil {
		t.Fatal(err)
	}
	m := new(dns.Msg)
	if err := m.Unpack(r.Resolve(nil, &query.Query{Message: wire, Transport: query.TCP})); err != nil {
		t.Fatalf("%s %s: %v", name, dns.Type(qtype), err)
	}
	return m
}

// writeSection writes records without their signatures' long fields.
func writeSection(b *strings.Builder, name string, rrs []dns.RR) {
	for _, rr := range rrs {
		fields := strings.Fields(rr.String())
		switch rr := rr.(type) {
		case *dns.OPT:
			continue
		case *dns.RRSIG:
			fields = append(fields[:4], dns.TypeToString[rr.TypeCovered], fmt.Sprintf("labels=%d", rr.Labels))
		case *dns.DNSKEY:
			fields = fields[:7]
		}
		fmt.Fprintf(b, "  %s %s\n", name, strings.Join(fields, " "))
	}
}

// verifySections verifies each signature of an answer to who knows DNSSEC, and
// that no set of the zone's own is without one.
func verifySections(t *testing.T, r *Resolver, m *dns.Msg) {
	t.Helper()
	var keys []*dns.DNSKEY
	for _, rr := range ask(t, r, "example.com", dns.TypeDNSKEY).Answer {
		keys = append(keys, rr.(*dns.DNSKEY))
	}
	for _, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range section {
			s, ok := rr.(*dns.RRSIG)
			if !ok || m.Question[0].Qtype == dns.TypeRRSIG {
				continue
			}
			set := slices.DeleteFunc(slices.Clone(section), func(rr dns.RR) bool {
				return rr.Header().Rrtype != s.TypeCovered || !strings.EqualFold(rr.Header().Name, s.Hdr.Name)
			})
			if len(set) == 0 {
				t.Errorf("%s: a signature without %s records", m.Question[0].String(), dns.Type(s.TypeCovered))
			} else if err := s.Verify(keys[0], set); err != nil {
				t.Errorf("%s: %s %s: %v", m.Question[0].String(), s.Hdr.Name, dns.Type(s.TypeCovered), err)
			}
		}
	}
}

// TestSignedZoneErrors breaks each signed zone in one place.
func TestSignedZoneErrors(t *testing.T) {
	without := func(part string) func(string) string {
		return func(text string) string {
			var kept []string
			for line := range strings.Lines(text) {
				if !strings.Contains(line, part) {
					kept = append(kept, line)
				}
			}
			return strings.Join(kept, "")
		}
	}
	with := func(old, new string) func(string) string {
		return func(text string) string { return strings.ReplaceAll(text, old, new) }
	}
	for _, c := range []struct {
		name, zone string
		change     func(string) string
		want       string
	}{
		{"no key", "signed-nsec", without(" DNSKEY 257"), "the zone is signed, but has no DNSKEY record"},
		{"another key", "signed-nsec", with("DNSKEY 257 3 13 SUgn", "DNSKEY 257 3 13 AUgn"), "which is not among the zone's DNSKEY records"},
		{"unsigned set", "signed-nsec", without("RRSIG AAAA "), "the AAAA records of mail.example.com. have no signature"},
		{"signature of nothing", "signed-nsec", without("mail.example.com. 3600 IN AAAA"), "an RRSIG record for the AAAA records of mail.example.com., which has none"},
		{"another signer", "signed-nsec", with("RRSIG MX 13 2 3600 20560101000000 20260101000000 45700 example.com.", "RRSIG MX 13 2 3600 20560101000000 20260101000000 45700 com."), "names com. as the signer"},
		{"labels", "signed-nsec", with("RRSIG AAAA 13 3", "RRSIG AAAA 13 2"), "is for 2 labels, but the name has 3"},
		{"TTL of a signature", "signed-nsec", with("mail.example.com. 3600 IN AAAA", "mail.example.com. 60 IN AAAA"), "TTL 3600, but the AAAA records of mail.example.com. that it signs have TTL 60"},
		{"TTL that was not signed", "signed-nsec", with("RRSIG AAAA 13 3 3600", "RRSIG AAAA 13 3 60"), "has TTL 3600, more than the 60 that was signed"},
		{"signed glue", "signed-nsec", with("ns.sub.example.com. 3600 IN A 192.0.2.5", "ns.sub.example.com. 3600 IN A 192.0.2.5\nns.sub.example.com. 3600 IN RRSIG A 13 4 3600 20560101000000 20260101000000 45700 example.com. AAAA"), "RRSIG records of ns.sub.example.com. can't be asked for"},
		{"no NSEC", "signed-nsec", without("mail.example.com. 300 IN "), "mail.example.com. has no NSEC record"},
		{"another next name", "signed-nsec", with("NSEC ns1.example.com.", "NSEC ns2.example.com."), "names ns2.example.com. as the next name, but that is ns1.example.com."},
		{"a name too many", "signed-nsec", with("mail.example.com. 3600 IN A ", "nail.example.com. 3600 IN A "), "nail.example.com. has no NSEC record"},
		{"other types", "signed-nsec", with("A AAAA RRSIG NSEC", "A RRSIG NSEC"), "the NSEC record of mail.example.com. tells of other types than there are"},
		{"two chains", "signed-nsec", func(text string) string {
			return text + "example.com. 0 IN NSEC3PARAM 1 0 0 -\nexample.com. 0 IN RRSIG NSEC3PARAM 13 2 0 20560101000000 20260101000000 45700 example.com. AAAA\n"
		}, "both NSEC and NSEC3PARAM records"},
		{"no NSEC3PARAM", "signed-nsec3", without("NSEC3PARAM"), "but example.com. has no NSEC3PARAM record"},
		{"no NSEC3 at all", "signed-nsec3", without(" NSEC3 "), "an NSEC3PARAM record, but no NSEC3 records"},
		{"no NSEC3", "signed-nsec3", without("SRD3IA2VMDULQIMILQ05NPM7ID8N32NF.example.com."), "has no NSEC3 record"},
		{"unsigned NSEC3", "signed-nsec3", without("SRD3IA2VMDULQIMILQ05NPM7ID8N32NF.example.com. 300 IN RRSIG"), "the NSEC3 records of srd3ia2vmdulqimilq05npm7id8n32nf.example.com. have no signature"},
		{"signature of no NSEC3", "signed-nsec3", without("SRD3IA2VMDULQIMILQ05NPM7ID8N32NF.example.com. 300 IN NSEC3"), "an RRSIG record for the NSEC3 records of srd3ia2vmdulqimilq05npm7id8n32nf.example.com., which has none"},
		{"NSEC3 of no name", "signed-nsec3", without("a.deep.example.com."), "is for no name that the zone has"},
		{"no hash", "signed-nsec3", with("SRD3IA2VMDULQIMILQ05NPM7ID8N32NF.", "srd3."), "srd3.example.com. is no hash of a name"},
		{"another next hash", "signed-nsec3", with("- TTNTEU9FHJGTN1QFIN3IGVS8QCNP6DEA A", "- TTNTEU9FHJGTN1QFIN3IGVS8QCNP6DEB A"), "does not name the next hash"},
		{"another salt", "signed-nsec3", with("NSEC3PARAM 1 0 0 -", "NSEC3PARAM 1 0 0 aa"), "has another algorithm, salt or number of iterations"},
		{"too many iterations", "signed-nsec3", with(" 1 0 0 - ", " 1 0 151 - "), "has another algorithm, salt or number of iterations"},
		{"too many iterations at the apex", "signed-nsec3", with("NSEC3PARAM 1 0 0 -", "NSEC3PARAM 1 0 151 -"), "NSEC3 with 151 iterations, more than the 150"},
		{"a salt that the parser takes for half of it", "signed-nsec3", with("NSEC3 1 0 0 -", "NSEC3 1 0 0 "+strings.Repeat("ab", 255)), "NSEC3 record with data that is not complete"},
		{"another salt, of 127 bytes", "signed-nsec3", func(text string) string {
			salt := " 1 0 0 " + strings.Repeat("ab", 127)
			return strings.ReplaceAll(strings.ReplaceAll(text, "NSEC3 1 0 0 -", "NSEC3"+salt), "NSEC3PARAM 1 0 0 -", "NSEC3PARAM"+salt)
		}, "example.com. has no NSEC3 record"},
		{"hash algorithm", "signed-nsec3", with("NSEC3PARAM 1 0 0 -", "NSEC3PARAM 2 0 0 -"), "NSEC3 with hash algorithm 2"},
		{"Opt-Out without its flag", "signed-optout", with("NSEC3 1 1 2", "NSEC3 1 0 2"), "plain.example.com. has no NSEC3 record"},
		{"cut short", "signed-nsec", func(text string) string {
			return text + "x A \\# 4 01020304\nx RRSIG \\# 19 " + strings.Repeat("00", 19) + "\n"
		}, "RRSIG"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := c.change(signedText(t, c.zone))
			_, err := loadSigned(text, 0)
			if err == nil {
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "z:") {
				t.Errorf("got  %.600v\nwant %s", err, c.want)
			}
		})
	}
}

// TestSignedZoneTellsItsTimes: when its first signature expires, and where.
func TestSignedZoneTellsItsTimes(t *testing.T) {
	r, err := loadSigned(strings.Replace(signedText(t, "signed-optout"), "RRSIG MX 13 2 3600 20560101000000 20260101000000", "RRSIG MX 13 2 3600 20300101000000 20270101000000", 1), 0)
	if err != nil {
		t.Fatal(err)
	}
	s := r.Zones()[0].Signed
	if s == nil {
		t.Fatal("not signed")
	}
	at := func(year int) uint32 { return uint32(time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC).Unix()) }
	if want := (Signed{Expires: at(2030), ExpiresAt: "z:7", Begins: at(2027), BeginsAt: "z:7", Iterations: 2, Hashed: true}); *s != want {
		t.Errorf("got %+v, want %+v", *s, want)
	}
}

// TestSignedZonesAreVerifiedOnDemand: every signature, and those that are not
// good are mistakes.
func TestSignedZonesAreVerifiedOnDemand(t *testing.T) {
	for _, zone := range signedZones {
		text := signedText(t, zone)
		r, err := loadSigned(text, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if s, want := r.Zones()[0].Signed, strings.Count(text, " 20560101000000 "); s.Verified != want {
			t.Errorf("%s: %d of %d verified", zone, s.Verified, want)
		}
		_, err = loadSigned(strings.Replace(text, "IN AAAA 2001:db8::2", "IN AAAA 2001:db8::3", 1), 1000)
		if err == nil || !strings.Contains(err.Error(), "the RRSIG record for the AAAA records of mail.example.com. is not good") {
			t.Errorf("%s: %v", zone, err)
		}
		if r, err := loadSigned(text, 3); err != nil || r.Zones()[0].Signed.Verified != 3 {
			t.Errorf("%s: %v", zone, err)
		}
	}
}

// TestSignedAnswersAllocateNothing: denials by hashes among them.
func TestSignedAnswersAllocateNothing(t *testing.T) {
	for _, zone := range signedZones {
		r, err := loadSigned(signedText(t, zone), 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range signedQuestions {
			for _, tr := range []query.Transport{query.UDP, query.TCP} {
				q := &query.Query{Message: packed(t, strings.TrimPrefix(c.name+".example.com.", "."), dns.StringToType[c.qtype]), Transport: tr}
				buf := make([]byte, 0, 4096)
				if n := testing.AllocsPerRun(20, func() { r.Resolve(buf, q) }); n != 0 {
					t.Errorf("%s: %s %s over %s: %v allocations", zone, c.name, c.qtype, tr, n)
				}
			}
		}
	}
}

// TestNSEC3OwnersDoNotExist: they are asked for as any other name that is not
// there.
func TestNSEC3OwnersDoNotExist(t *testing.T) {
	r, err := loadSigned(signedText(t, "signed-nsec3"), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, qtype := range []uint16{dns.TypeNSEC3, dns.TypeA, dns.TypeRRSIG} {
		m := askDO(t, r, "SRD3IA2VMDULQIMILQ05NPM7ID8N32NF.example.com.", qtype, true)
		if m.Rcode != dns.RcodeNameError || len(m.Answer) > 0 || len(m.Ns) < 6 {
			t.Errorf("%s", m)
		}
	}
}

// TestCanonicalKeys: keys have the order of RFC 4034 §6.1, and give the names
// back.
func TestCanonicalKeys(t *testing.T) {
	names := []string{"example.", "a.example.", "yljkjljk.a.example.", "Z.a.example.", "zABC.a.EXAMPLE.", "z.example.", `\001.z.example.`, "*.z.example.", `\200.z.example.`}
	zero := `\000.z.example.`
	names = slices.Insert(names, 6, zero, `a.\000.z.example.`, `\000\000.z.example.`, `\000\001.z.example.`)
	apex := []byte("\x07example\x00")
	var last []byte
	for i, n := range names {
		wire, err := wireName(n)
		if err != nil {
			t.Fatal(err)
		}
		key := appendKey(nil, wire[:len(wire)-len(apex)])
		if i > 0 && string(key) <= string(last) {
			t.Errorf("%s is not behind %s", n, names[i-1])
		}
		if back := appendFromKey(nil, key, apex); string(back) != string(wire) {
			t.Errorf("%s: %q came back as %q", n, wire, back)
		}
		last = key
	}
}
