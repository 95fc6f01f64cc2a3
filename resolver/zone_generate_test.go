package resolver

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// generatedText is what a zone has of directives, a record a line.
func generatedText(t *testing.T, directives string) (lines []string, errs []*Error) {
	t.Helper()
	text := "$TTL 60\n" + directives
	r := readZone(&Zone{Name: "example.com", Source: Source{Name: "z", Text: []byte(text)}}, []byte("\x07example\x03com\x00"), nil, make([]byte, 1<<16+512))
	for i := range r.records {
		rr, err := r.records[i].unpack(r.records[i].owner)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, strings.Join(strings.Fields(rr.String()), " "))
	}
	return lines, r.errs
}

// TestGenerate: the records are those that BIND 9.18 makes of the same lines.
func TestGenerate(t *testing.T) {
	got, errs := generatedText(t, `
$GENERATE 0-300/100 a$ A 192.0.2.1
$GENERATE 7-20/13 h${1,4,x} TXT \$$ $$ ${0,0,o} ${0,3,X} ${0} ${5}
$GENERATE 1-300/299 ${0,0,n} TXT n0
$GENERATE 1-300/299 ${0,1,n}.w1 TXT n1
$GENERATE 1-300/299 ${0,3,n}.w3 TXT n3
$GENERATE 300-300 ${0,7,N}.w7 TXT n7
$GENERATE 1-2 ttl$ 70 IN CNAME $.x
$GENERATE 5-6	tab$	TXT	"a	b"
`)
	want := []string{
		`a0.example.com. 60 IN A 192.0.2.1`, `a100.example.com. 60 IN A 192.0.2.1`, `a200.example.com. 60 IN A 192.0.2.1`, `a300.example.com. 60 IN A 192.0.2.1`,
		`h0008.example.com. 60 IN TXT "$7" "$" "7" "007" "7" "12"`, `h0015.example.com. 60 IN TXT "$20" "$" "24" "014" "20" "25"`,
		`1.example.com. 60 IN TXT "n0"`, `c.2.1.example.com. 60 IN TXT "n0"`, `1.w1.example.com. 60 IN TXT "n1"`, `c.2.1.w1.example.com. 60 IN TXT "n1"`,
		`1.0.w3.example.com. 60 IN TXT "n3"`, `c.2.1.w3.example.com. 60 IN TXT "n3"`, `c.2.1.0.w7.example.com. 60 IN TXT "n7"`,
		`ttl1.example.com. 70 IN CNAME 1.x.example.com.`, `ttl2.example.com. 70 IN CNAME 2.x.example.com.`,
		`tab5.example.com. 60 IN TXT "a\009b"`, `tab6.example.com. 60 IN TXT "a\009b"`,
	}
	slices.Sort(got)
	slices.Sort(want)
	if len(errs) > 0 || !slices.Equal(got, want) {
		t.Errorf("%v\ngot  %q\nwant %q", errs, got, want)
	}
}

// TestGenerateIsBounded: by directive and by zone.
func TestGenerateIsBounded(t *testing.T) {
	lines, errs := generatedText(t, fmt.Sprintf("$GENERATE 1-%d a$ A 192.0.2.1\n", maxGenerated))
	if len(lines) != maxGenerated || len(errs) > 0 {
		t.Errorf("%d records, %v", len(lines), errs)
	}
	if _, errs = generatedText(t, fmt.Sprintf("$GENERATE 0-%d a$ A 192.0.2.1\n", maxGenerated)); len(errs) != 1 {
		t.Errorf("%v", errs)
	}
	r := &zoneReader{files: []string{"z"}, made: maxGeneratedInZone - 1, apex: "\x07example\x03com\x00", buf: make([]byte, 1<<16)}
	f := zoneFile{origin: "example.com.", ttl: 60}
	for _, numbers := range []string{"1-1", "1-1"} {
		r.generate(&f, &entry{line: 1, owner: "$GENERATE", rest: " " + numbers + " a A 192.0.2.1"})
	}
	if len(r.records) != 1 || len(r.errs) != 1 {
		t.Errorf("%d records, %v", len(r.records), r.errs)
	}
}
