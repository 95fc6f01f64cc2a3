package config

import (
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestDomainsAreBroughtIntoOneForm(t *testing.T) {
	for text, want := range map[string]string{
		"example.com":                  "example.com",
		"Example.COM.":                 "example.com",
		"münchen.de":                   "xn--mnchen-3ya.de",
		"MÜNCHEN.DE":                   "xn--mnchen-3ya.de",
		"straße.de":                    "xn--strae-oqa.de", // not strasse.de, which is another domain
		"例え。jp":                        "xn--r8jz45g.jp",
		"_dmarc.example":               "_dmarc.example",
		"arpa":                         "arpa",
		"2.0.192.in-addr.arpa":         "2.0.192.in-addr.arpa",
		"a.b.c.d.e.f.g.h.i.j.k.l.m.n.": "a.b.c.d.e.f.g.h.i.j.k.l.m.n",
	} {
		if got, err := parseDomain(text); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
	}
}

// FuzzDomain holds that what is taken for a domain is one for a DNS library,
// that its one form stays as it is, and that a host is a domain.
func FuzzDomain(f *testing.F) {
	for _, seed := range []string{"example.com", "EXAMPLE.", "münchen.de", "a..b", "-a.b", "xn--a", "\u200d.x", "1.2", strings.Repeat("a.", 126) + "b", strings.Repeat("ü", 60) + ".x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		name, err := parseDomain(text)
		if host, hostErr := parseHost(text); hostErr == nil && (err != nil || host != name) {
			t.Errorf("%q is the host %q and the domain %q, %v", text, host, name, err)
		}
		if err != nil {
			return
		}
		if labels, ok := dns.IsDomainName(name); !ok || labels == 0 {
			t.Errorf("%q: %q is no domain name", text, name)
		}
		if n, err := dns.PackDomainName(dns.Fqdn(name), make([]byte, 255), 0, nil, false); err != nil || n > 255 {
			t.Errorf("%q: %q takes %d bytes, %v", text, name, n, err)
		}
		if again, err := parseDomain(name); err != nil || again != name {
			t.Errorf("%q: %q becomes %q, %v", text, name, again, err)
		}
	})
}
