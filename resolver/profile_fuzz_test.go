package resolver

import (
	"os"
	"path/filepath"
	"testing"

	"domainpark/query"

	"github.com/miekg/dns"
)

// FuzzProfile reads any text as a profile: it must be refused with an error or
// give answers that parse.
func FuzzProfile(f *testing.F) {
	files, err := filepath.Glob(profiles + "/*.zone")
	if err != nil || len(files) == 0 {
		f.Fatal(err)
	}
	for _, file := range append(files, "parked.zone") {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	// Building the public suffix table for every input would take all the time.
	small := Source{Name: "small", Text: []byte("com\norg\n")}
	f.Fuzz(func(t *testing.T, text []byte) {
		cfg := testConfig()
		cfg.Profile = Source{Name: "fuzz.zone", Text: text}
		cfg.PublicSuffixes = small
		r, err := New(cfg, nil, nil)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error that says nothing")
			}
			return
		}
		for _, types := range r.current.Load().profile.types {
			for _, name := range []string{"example.com", "a.example.com", "x._domainkey.a.example.com", "_dmarc.example.org"} {
				q := &query.Query{Message: packed(t, name, types.rrtype), Transport: query.TCP}
				if out := r.Resolve(nil, q); new(dns.Msg).Unpack(out) != nil {
					t.Errorf("%s %s: the answer does not parse: %x", name, dns.Type(types.rrtype), out)
				}
			}
		}
	})
}
