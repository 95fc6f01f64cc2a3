package resolver_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// presentation writes labels as a fully qualified name, whatever bytes they hold.
func presentation(labels []string) string {
	var wire []byte
	for _, l := range labels {
		wire = append(append(wire, byte(len(l))), l...)
	}
	name, _, err := dns.UnpackDomainName(append(wire, 0), 0)
	if err != nil {
		panic(fmt.Sprintf("labels %q are no name: %v", labels, err))
	}
	return name
}

// splitName reads the labels of a name in presentation form.
func splitName(name string) []string {
	wire := make([]byte, 256)
	n, err := dns.PackDomainName(dns.Fqdn(name), wire, 0, nil, false)
	if err != nil {
		panic(fmt.Sprintf("bad name %q in a test: %v", name, err))
	}
	var labels []string
	for i := 0; i < n && wire[i] != 0; i += 1 + int(wire[i]) {
		labels = append(labels, string(wire[i+1:i+1+int(wire[i])]))
	}
	return labels
}

func splitAll(names []string) [][]string {
	var out [][]string
	for _, name := range names {
		out = append(out, fold(splitName(name)))
	}
	return out
}

func inside(name []string, domains [][]string) bool {
	return slices.ContainsFunc(domains, func(d []string) bool { return isBelow(name, d) })
}

// isBelow tells whether a folded name is a domain or lies below it.
func isBelow(name, domain []string) bool {
	return len(name) >= len(domain) && slices.Equal(name[len(name)-len(domain):], domain)
}

func fold(labels []string) []string {
	out := make([]string, len(labels))
	for i, l := range labels {
		b := []byte(l)
		for j, c := range b { // ASCII alone folds (RFC 4343 §3)
			if 'A' <= c && c <= 'Z' {
				b[j] = c + 'a' - 'A'
			}
		}
		out[i] = string(b)
	}
	return out
}

func joined(labels []string) string { return strings.Join(labels, ".") }
