package audit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
)

// maxNameBytes is what a domain may have so that the longest name that is asked
// for below it fits into 253 characters: two random labels and "_domainkey".
const maxNameBytes = 253 - len("._domainkey.") - 2*(randomLabelBytes+1)

// Name returns what was written as a domain, in the form in which the DNS has
// it: A-labels, lower case, no final dot (RFC 5890 §2.3.2.1). Its error tells
// what is wrong, and does not repeat the name.
func Name(written string) (string, error) {
	name := strings.TrimSpace(written)
	switch {
	case name == "" || name == ".":
		return "", errors.New("expected a domain, such as example.com")
	case strings.Contains(name, "://"):
		return "", errors.New("this is a URL, expected the domain in it")
	case strings.Contains(name, "@"):
		return "", errors.New("this is a mail address, expected the domain behind the @")
	case strings.HasPrefix(name, "*."):
		return "", errors.New("expected a domain without *: names below it are tried anyway")
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return "", errors.New("this is an address, expected a domain")
	}
	name = strings.TrimSuffix(name, ".")
	ascii, err := idna.Lookup.ToASCII(name)
	if err != nil {
		return "", fmt.Errorf("this is no domain name: %s", strings.TrimPrefix(err.Error(), "idna: "))
	}
	for label := range strings.SplitSeq(ascii, ".") {
		if label == "" {
			return "", errors.New("this is no domain name: it has an empty label")
		}
		if len(label) > 63 {
			return "", fmt.Errorf("this is no domain name: a label has %d characters, 63 is the most", len(label))
		}
	}
	switch {
	case !strings.Contains(ascii, "."):
		return "", errors.New("this is a top-level domain, expected one below it")
	case len(ascii) > maxNameBytes:
		return "", fmt.Errorf("%d characters leave no room for the names below it that have to be tried; %d is the most", len(ascii), maxNameBytes)
	}
	return ascii, nil
}

const (
	// maxListed bounds a list: beyond it something else than a list was read.
	maxListed = 10_000_000

	// maxListProblems is how many wrong lines are told of one by one.
	maxListProblems = 20
)

// ReadList reads domains, one a line, with comments behind #. Each is told
// once. file is what errors call it; they tell all wrong lines.
func ReadList(r io.Reader, file string) (domains []string, err error) {
	seen := map[string]bool{}
	var errs []error
	wrong, number := 0, 0
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		number++
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(strings.TrimPrefix(text, "\ufeff")); text == "" {
			continue
		}
		name, err := Name(text)
		switch {
		case err != nil:
			if wrong++; wrong <= maxListProblems {
				errs = append(errs, fmt.Errorf("%s:%d: %q: %w", file, number, excerpt(text), err))
			}
		case len(domains) == maxListed:
			return nil, fmt.Errorf("%s has more than %d domains", file, maxListed)
		case !seen[name]:
			seen[name] = true
			domains = append(domains, name)
		}
	}
	if err := lines.Err(); err != nil {
		errs = append(errs, fmt.Errorf("%s:%d: this is no list of domains: %w", file, number+1, err))
	}
	if wrong > maxListProblems {
		errs = append(errs, fmt.Errorf("%s: and %d more lines that are wrong", file, wrong-maxListProblems))
	}
	return domains, errors.Join(errs...)
}
